"""Does it help that the language model was pretrained, and that it is pre-trained on behaviour and item texts
before it learns to recommend? One architecture, four arms and one of equal compute.

R1: random trunk. R2: pretrained trunk. CR1, CR2: the same after continued pre-training (CPT), half of its
tokens behaviour, half item texts. R2': R2 with the passes that CPT costs. All arms have the same trimmed
vocabulary, the same start of the code rows, and the same prompt: the codes and the title of the last events.
The base is the first layers of SmolLM2 (`make smollm2`), or `--base FOLDER`. Hours on a processor: every arm
goes on where it was stopped.

D2 and L2 are CR2 with a dense read-out, and by adapters of low rank. `--data movielens` takes the small model
instead, as it is (S), with its targets drawn by what the events say (SW) and with the events' features (SE).
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, share, show_table
from recipes.plum.arms import FILMS, STUDIED, Study, difference, mean_interval, measures, tested
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError
from tastemaker.flows.pipeline import Pipeline
from tastemaker.lm.base import load, load_tokenizer, save
from tastemaker.lm.smollm2 import convert
from tastemaker.stats.intervals import paired_bootstrap
from tastemaker.store import read_lines

PASSES, MORE = 5, 7
BOTH = {"cpt": "1", "new_rows_first": 0.1}
SMALL = {"base": "small", "sft_epochs": 12, "batch": 0, "max_items": 50, "thinning": 0.4, "ensemble": 1}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "R1: random, no CPT": ("random", {}),
    "R2: pretrained, no CPT": ("pretrained", {}),
    "CR1: random, CPT": ("random", BOTH),
    "CR2: pretrained, CPT": ("pretrained", BOTH),
    "R2': pretrained, no CPT, equal compute": ("pretrained", {"sft_epochs": MORE}),
    "D2: CR2 with a dense read-out": ("pretrained", BOTH | {"base_dense": 1.0}),
    "L2: CR2 by adapters of rank 16": ("pretrained", BOTH | {"base_lora": 16}),
    "S: small model": ("", SMALL),
    "SW: S, targets drawn by reward": ("", SMALL | {"reward": "events"}),
    "SE: S with event features": ("", SMALL | {"event_features": True}),
}
COMMON = {
    "base_layers": 8,
    "keep_tokens": 8000,
    "prompt_titles": 12,
    "max_items": 8,
    "batch": 4,
    "thinning": 0.0,
    "metadata_share": 0.5,
    "cpt": "off",
    "sft_epochs": PASSES,
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
    "dense read-out (D2 - CR2)": ("D2", "CR2"),
    "adapters (L2 - CR2)": ("L2", "CR2"),
    "targets by reward (SW - S)": ("SW", "S"),
    "event features (SE - S)": ("SE", "S"),
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
    trunk, settings = ARMS[name]
    share, users = asked
    settings = settings | ({"base": folders[trunk]} if trunk else {})
    label = f"{name.split(':')[0].replace(chr(39), '-equal')}-{share:g}"
    with progress() as report:
        pipeline = study.trained(label, settings, report, share)
    targets = study.targets.sample(users, 0)
    curve = [[line["step"], line["loss"]] for line in read_lines(pipeline.path("sft") / "curve.jsonl")]
    seen = pipeline.data.training_counts[targets.target].tolist()
    about = summary(pipeline, "corpus")["achieved"] if trunk else {}
    trained = summary(pipeline, "sft")
    chosen = trained.get("validation by share", {row["pass"]: row["N@10"] for row in trained["validation"]})
    return {
        "ranks": tested(pipeline, targets),
        "curve": curve,
        "seen": seen,
        "cpt tokens": sum(about.values()),
        "validation": round(max(chosen.values()), 4),
    }


def summary(pipeline: Pipeline, stage: str) -> dict[str, Any]:
    """What a stage says of itself."""
    read: dict[str, Any] = json.loads((pipeline.path(stage) / "summary.json").read_text())
    return read


def main() -> None:
    """Parse, train the arms, print, draw."""
    options = parser(main, "one pass, 200 people tested: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(STUDIED))
    options.add_argument("--arms", default="", help="such as R1,R2,CR1 (default: all that suit the data)")
    options.add_argument("--share", type=share, default=0.1, help="of the people, that are trained on")
    options.add_argument("--users", type=int, default=0, help="people tested (default: all)")
    options.add_argument("--base", default="", help="folder of a causal language model instead of SmolLM2")
    options.add_argument("--layers", type=int, default=8, help="first layers of the base that are kept")
    arguments = read_arguments(options, "cpt_2x2")
    out = arguments.out / arguments.data
    out.mkdir(parents=True, exist_ok=True)
    settings = COMMON | {"seed": arguments.seed, "base_layers": arguments.layers}
    users = 200 if arguments.quick else arguments.users
    if arguments.quick:
        ARMS.update({name: (trunk, own | {"sft_epochs": 1}) for name, (trunk, own) in ARMS.items()})
    study = Study(out, arguments.data, settings)
    arms = suiting(arguments.arms, arguments.data)
    folders = {} if arguments.data == FILMS else bases(arguments.out, arguments.base)
    journal = Journal(out, settings | {"share": arguments.share, "users": users, "base": arguments.base})
    work = partial(one_arm, study, folders, (arguments.share, users))
    runs = dict(zip(arms, journal.run(arms, work, "arms"), strict=True))
    show_table(
        out, *tabled(runs, f"{STUDIED[arguments.data][0]}, {arguments.share:.0%} of the people", arguments)
    )
    save_figure(out, draw(runs))


def suiting(asked: str, data: str) -> list[str]:
    """The arms that were asked for, or all that suit the data. Raises InputError on one that does not."""
    suit = {name.split(":")[0]: name for name, (trunk, _) in ARMS.items() if bool(trunk) == (data != FILMS)}
    short = asked.split(",") if asked else list(suit)
    if unknown := [name for name in short if name not in suit]:
        raise InputError(f"--arms: there is no arm '{unknown[0]}' on {data}; choose of {', '.join(suit)}")
    return [suit[name] for name in short]


def tabled(runs: dict[str, Any], what: str, arguments: Any) -> tuple[list[dict[str, Any]], str, str]:
    """Rows, title and words of the table."""
    people = {name: measures(np.array(run["ranks"])) for name, run in runs.items()}
    short = {name.split(":")[0]: own for name, own in people.items()}
    seen = np.array(next(iter(runs.values()))["seen"])
    parts = {"never seen": seen == 0, "seen 1-5 times": (seen > 0) & (seen < 6), "seen more": seen > 5}
    rows = []
    for name, own in people.items():
        row: dict[str, Any] = {"arm": name} | {label: mean_interval(values) for label, values in own.items()}
        row |= {f"N@10, {label} ({rest.sum()})": f"{own['N@10'][rest].mean():.4f}" if rest.any() else ""
                for label, rest in parts.items()}  # fmt: skip
        row["N@10, validation"] = runs[name].get("validation", "")
        rows.append(row | {"CPT tokens": f"{runs[name]['cpt tokens']:,}"})
    gaps = {}
    contrasts = {name: pair for name, pair in CONTRASTS.items() if set(pair) <= set(short)}
    for name, (left, right) in contrasts.items():
        gaps[name] = {label: difference(short[left][label], short[right][label]) for label in short[left]}
        rows.append({"arm": f"{name}, paired"} | gaps[name])
    columns = list(rows[0])
    both = [
        paired_bootstrap(short[left]["N@10"], short[right]["N@10"], 0) for left, right in contrasts.values()
    ]
    sides = {
        "above": [name for name, gap in zip(gaps, both, strict=True) if gap.low > 0],
        "below": [name for name, gap in zip(gaps, both, strict=True) if gap.high < 0],
    }
    words = " ".join(
        f"N@10 is {side} 0 beyond its interval over people for: {'; '.join(names)}."
        for side, names in sides.items()
        if names
    )
    words = words or "No contrast in N@10 is beyond its interval over people: nothing is shown here."
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
