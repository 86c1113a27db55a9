"""Does it help that the language model was pretrained, and that it is pre-trained on behaviour and item texts
before it learns to recommend? One architecture, four arms and one of equal compute.

R1: random trunk. R2: pretrained trunk. CR1, CR2: the same after continued pre-training (CPT), half of its
tokens behaviour, half item texts. R2': R2 with the passes that CPT costs. All arms have the same trimmed
vocabulary, the same start of the code rows, and the same prompt: the codes and the title of the last events.
The base is the first layers of SmolLM2 (`make smollm2`), or `--base FOLDER`. Hours on a processor: every arm
goes on where it was stopped.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, share, show_table
from recipes.plum.arms import Study, difference, measures, tested, told
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError
from tastemaker.lm.base import load, load_tokenizer, save
from tastemaker.lm.smollm2 import convert
from tastemaker.stats.intervals import paired_bootstrap
from tastemaker.store import read_lines

PASSES, MORE = 5, 7
ARMS: dict[str, tuple[str, str, int]] = {
    "R1: random, no CPT": ("random", "off", PASSES),
    "R2: pretrained, no CPT": ("pretrained", "off", PASSES),
    "CR1: random, CPT": ("random", "1", PASSES),
    "CR2: pretrained, CPT": ("pretrained", "1", PASSES),
    "R2': pretrained, no CPT, equal compute": ("pretrained", "off", MORE),
}
COMMON = {
    "base_layers": 8,
    "keep_tokens": 8000,
    "prompt_titles": 12,
    "max_items": 8,
    "thinning": 0.0,
    "metadata_share": 0.5,
    "new_rows_first": 0.1,
    "base_learning_rate": 3e-4,
    "base_dropout": 0.05,
    "beam": 20,
    "memory": False,
}
CONTRASTS = {
    "CPT, random trunk (CR1 - R1)": ("CR1", "R1"),
    "CPT, pretrained trunk (CR2 - R2)": ("CR2", "R2"),
    "CPT against equal compute (CR2 - R2')": ("CR2", "R2'"),
    "pretraining, no CPT (R2 - R1)": ("R2", "R1"),
    "pretraining, CPT (CR2 - CR1)": ("CR2", "CR1"),
}


def bases(out: Path, given: str) -> dict[str, str]:
    """The folder of the pretrained base, and of one of the same shape with random weights."""
    source = Path(given) if given else convert(out / "smollm2")
    if not source.is_dir():
        raise InputError(
            f"--base {given}: no such folder; name that of a causal language model, or leave it out"
        )
    random = out / "random"
    if not random.exists():
        from transformers import AutoModelForCausalLM, set_seed

        model, _ = load(source)
        set_seed(0)
        save(AutoModelForCausalLM.from_config(model.config), None, random, load_tokenizer(source))
    return {"pretrained": str(source.resolve()), "random": str(random.resolve())}


def one_arm(study: Study, folders: dict[str, str], asked: tuple[float, int], name: str) -> dict[str, Any]:
    """Ranks of the last events, the curve of fine-tuning, and how often training saw each of the items.

    asked: the share of the people that are trained on, and how many are tested (0: all).
    """
    trunk, cpt, passes = ARMS[name]
    share, users = asked
    settings = {"base": folders[trunk], "cpt": cpt, "sft_epochs": passes} | (
        {} if cpt != "off" else {"new_rows_first": 0.0}
    )
    label = f"{name.split(':')[0].replace(chr(39), '-equal')}-{share:g}"
    with progress() as report:
        pipeline = study.trained(label, settings, report, share)
    targets = study.targets.sample(users, 0)
    curve = [[line["step"], line["loss"]] for line in read_lines(pipeline.path("sft") / "curve.jsonl")]
    seen = pipeline.data.training_counts[targets.target].tolist()
    about = json.loads((pipeline.path("corpus") / "summary.json").read_text())["achieved"]
    return {
        "ranks": tested(pipeline, targets),
        "curve": curve,
        "seen": seen,
        "cpt tokens": sum(about.values()),
    }


def main() -> None:
    """Parse, train the arms, print, draw."""
    found = parser(main, "one pass, 200 people tested: inconclusive")
    found.add_argument("--data", default="office", choices=tuple(SETS))
    found.add_argument("--share", type=share, default=0.1, help="of the people, that are trained on")
    found.add_argument("--users", type=int, default=0, help="people tested (default: all)")
    found.add_argument("--base", default="", help="folder of a causal language model instead of SmolLM2")
    found.add_argument("--layers", type=int, default=8, help="first layers of the base that are kept")
    arguments = read_arguments(found, "cpt_2x2")
    out = arguments.out / arguments.data
    out.mkdir(parents=True, exist_ok=True)
    settings = COMMON | {"seed": arguments.seed, "base_layers": arguments.layers}
    users = 200 if arguments.quick else arguments.users
    if arguments.quick:
        ARMS.update({name: (trunk, cpt, 1) for name, (trunk, cpt, _) in ARMS.items()})
    study = Study(out, arguments.data, settings)
    folders = bases(arguments.out, arguments.base)
    journal = Journal(out, settings | {"share": arguments.share, "users": users, "base": arguments.base})
    work = partial(one_arm, study, folders, (arguments.share, users))
    runs = dict(zip(ARMS, journal.run(list(ARMS), work, "arms"), strict=True))
    show_table(
        out, *tabled(runs, f"{SETS[arguments.data][0]}, {arguments.share:.0%} of the people", arguments)
    )
    save_figure(out, draw(runs))


def tabled(runs: dict[str, Any], what: str, arguments: Any) -> tuple[list[dict[str, Any]], str, str]:
    """Rows, title and words of the table."""
    people = {name: measures(np.array(run["ranks"])) for name, run in runs.items()}
    short = {name.split(":")[0]: own for name, own in people.items()}
    seen = np.array(next(iter(runs.values()))["seen"])
    parts = {"never seen": seen == 0, "seen 1-5 times": (seen > 0) & (seen < 6), "seen more": seen > 5}
    rows = []
    for name, own in people.items():
        row: dict[str, Any] = {"arm": name} | {label: told(values) for label, values in own.items()}
        row |= {f"N@10, {label} ({rest.sum()})": f"{own['N@10'][rest].mean():.4f}" if rest.any() else ""
                for label, rest in parts.items()}  # fmt: skip
        rows.append(row | {"CPT tokens": f"{runs[name]['cpt tokens']:,}"})
    gaps = {}
    for name, (one, other) in CONTRASTS.items():
        gaps[name] = {label: difference(short[one][label], short[other][label]) for label in short[one]}
        rows.append({"arm": f"{name}, paired"} | gaps[name])
    columns = list(rows[0])
    low = {
        name: paired_bootstrap(short[one]["N@10"], short[other]["N@10"], 0).low
        for name, (one, other) in CONTRASTS.items()
    }
    above = [name for name in gaps if low[name] > 0]
    words = "N@10 is above 0 beyond its interval over people for: " + "; ".join(above) + "."
    if not above:
        words = "No contrast in N@10 is beyond its interval over people: nothing is shown here."
    title = f"Pretraining and CPT, {what}, seed {arguments.seed}"
    title += " (quick: inconclusive)" if arguments.quick else ""
    return [{column: row.get(column, "") for column in columns} for row in rows], title, words


def draw(runs: dict[str, Any]) -> Figure:
    """The loss of fine-tuning by step, an arm a line."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    for name, run in runs.items():
        steps, losses = zip(*run["curve"], strict=True)
        axes.plot(steps, losses, label=name)
    axes.set_xlabel("steps of fine-tuning")
    axes.set_ylabel("loss of a code, nats")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    command(main)
