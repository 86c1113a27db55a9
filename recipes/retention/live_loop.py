"""The whole loop on the demo catalogue: asking, learning, adjusting, testing, reading out. Every listener is
simulated.

Real tunes, a model trained on simulated plays, and the server's own service with a clock that is moved by
hand. Days of the
first part: lists are served, plays and likes are stored, the server asks, and listeners answer (or do not) by
what they met and felt (`simulate/retention`). Then `proxy live` fits, judges and deploys. Days of the second
part: a test splits people by salted hash, exposures are logged, the proxy ranks for one half, and listeners
return by what the first place gave them. Then the test is exported, checked and read out like any other.
Beside it stands the truth that no real log shows: by how much the adjusted first place changes the chance of
returning. `--world user` is the same loop where only the person
counts: no order of a list changes anybody's chance of returning, whatever the proxy predicts.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from scipy.stats import t as student

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.impressions import draw_impressions, expected_return
from tastemaker.cli.progress import progress
from tastemaker.demo.listeners import simulate
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.flows.media import FACTS_FILE
from tastemaker.flows.retention.experiment.run import check_experiment, export_trial, read_experiment
from tastemaker.flows.retention.live.fit import fit_live
from tastemaker.flows.train import run_stages
from tastemaker.rehearse.town import ASKING, PLAN
from tastemaker.serving.query import Happened, Query, Slate
from tastemaker.serving.service import WorkspaceService
from tastemaker.simulate.retention import PATHS, ListenerWorld, ask, draw_listeners, returns
from tastemaker.stats.random import generator
from tastemaker.store import Workspace, read_table, write_text
from tastemaker.store.settings import SETTINGS_FILE

NAME = "live_loop"
START = datetime(2026, 3, 2, 18, tzinfo=UTC)
K = 8
TOGETHER = "Intervals over seeds: each seed has its own listeners, plays, model, answers and split."
EXPERIMENT = "rr-demo"


@dataclass
class Town:
    """The simulated listeners of one catalogue, and what is true of them.

    back: who comes again tomorrow. moved: of each list the proxy ranked, whether its first place changed, and
    the true chance of returning after the first place as served and as the model alone had it.
    """

    world: ListenerWorld
    seed: int
    users: list[str]
    rows: dict[str, int]
    liking: Any
    quality: Any
    listeners: pa.Table
    clock: list[datetime] = field(default_factory=lambda: [START])
    back: dict[int, bool] = field(default_factory=dict)
    moved: list[tuple[bool, float, float]] = field(default_factory=list)


def main() -> None:
    """Build, ask, fit, test, for every seed and world; show."""
    options = parser(main, "one seed, 300 listeners, 100 tunes and a small model")
    options.add_argument(
        "--world", choices=PATHS, help="why people return: the item, the user, or the day (default: each)"
    )
    options.add_argument("--seeds", type=int, default=6, help="how many catalogues, from --seed on")
    arguments = read_arguments(options, NAME)
    size, days = ((100, 300), (12, 4)) if arguments.quick else ((300, 800), (8, 4))
    journal = Journal(
        arguments.out, {"quick": arguments.quick, "tunes": size[0], "listeners": size[1], "days": list(days)}
    )
    worlds = [arguments.world] if arguments.world else list(PATHS)
    seeds = range(arguments.seed, arguments.seed + (1 if arguments.quick else arguments.seeds))
    keys = [[world, seed] for seed in seeds for world in worlds]
    lived = journal.run(keys, lambda key: loop(arguments, key[0], key[1], size, days), "live loop")
    show_days(arguments, keys[0], lived[0]["days"])
    show_loops(arguments, keys, lived)


def loop(
    arguments: Namespace, world: str, seed: int, size: tuple[int, int], days: tuple[int, int]
) -> dict[str, Any]:
    """One catalogue and one world: days of asking, the proxy, days of the test, its read-out, and the
    truth.
    """
    folder, out = arguments.out / f"workspace-{seed}", arguments.out / f"{world}-{seed}"
    build(folder, size, seed, arguments.quick)
    for old in folder.glob("tastemaker.sqlite*"):
        old.unlink()  # the days are lived again from the first
    town = settle(folder, size[1], world, seed)
    service = serve(folder, town, ASKING)
    daily: list[dict[str, Any]] = [live(service, town, day, f"ask{day}") for day in range(days[0])]
    with progress(True) as report:
        fitted = fit_live(folder, report, least=200)
    shown, answered = service.asker.surveys.count()
    done = {"days": daily, "shown": shown, "answered": answered, "deployed": fitted["deployed"]}
    if not fitted["deployed"]:
        return done | {"reason": fitted["text"].splitlines()[-1].partition("not deployed: ")[2]}
    service = serve(folder, town, ASKING | {"experiment": EXPERIMENT})
    daily += [live(service, town, day, f"test{day}") for day in range(days[0], sum(days))]
    return done | {"skill": fitted["skill"]} | truth(town) | read_out(folder, out)


def build(folder: Path, size: tuple[int, int], seed: int, quick: bool) -> None:
    """The workspace, its tables and its model; what an earlier run made is kept."""
    small = {"sft_epochs": 2, "width": 64, "layers": 1} if quick else {"sft_epochs": 8}
    if not (folder / SETTINGS_FILE).exists():
        dials = {
            "title": "Traditional tunes, simulated listeners",
            "seed": seed,
            "threads": 1,
            "text_view": "tfidf",
        }
        Workspace.create(folder, dials | small)
    with progress(True) as report:
        if not Workspace.open(folder).has_tables():
            ingest_dataset(folder, "tunes", report, *size)
        run_stages(folder, report)


def settle(folder: Path, listeners: int, path: str, seed: int) -> Town:
    """The truth behind the workspace's simulated listeners, drawn again from the same key."""
    facts = read_table(Workspace.open(folder).data / FACTS_FILE)
    simulated = simulate(facts, listeners, seed)
    world = ListenerWorld.of(
        path,
        listeners=listeners,
        items=facts.num_rows,
        answer_rate=0.75,
        answer_by_activity=0.3,
        asked_effect=0.0,
    )
    liking = np.asarray(simulated.world.utility, np.float64)
    users = sorted(set(simulated.interactions["user_id"].to_pylist()))
    people = draw_listeners(world, seed).set_column(0, "user_id", pa.array(users))
    rows = {item: row for row, item in enumerate(facts["item_id"].to_pylist())}
    quality = liking.mean(axis=0)  # what everybody shares of an item
    return Town(
        world, seed, users, rows, liking / liking.std(), (quality - quality.mean()) / quality.std(), people
    )


def serve(folder: Path, town: Town, dials: dict[str, Any]) -> WorkspaceService:
    """The server's service under the town's clock."""
    opened = Workspace.open(folder)
    return WorkspaceService(
        replace(opened, settings=replace(opened.settings, **dials)), lambda: town.clock[0]
    )


def live(service: WorkspaceService, town: Town, day: int, tag: str) -> dict[str, Any]:
    """One day: who is there asks for a list, hears one of its places, answers, and decides whether to
    return.
    """
    town.clock[0] = START + timedelta(days=day)
    rng = generator(town.seed, "day", tag)
    here = [row for row in range(len(town.users)) if town.back.get(row, day == 0) or rng.random() < 0.25]
    lists: dict[int, Any] = {}
    for start in range(0, len(here), 64):
        part = here[start : start + 64]
        wishes = [_wish(f"{tag}-{row}", town.users[row]) for row in part]
        slates = service.recommend_many(wishes)
        service.delivered([slate.request_id for slate in slates if isinstance(slate, Slate)])
        lists |= dict(zip(part, slates, strict=True))
    # While answers are gathered any place may be heard, so that they vary with the score; in the test it is
    # the first.
    places = {row: int(rng.integers(len(lists[row].rows))) if tag.startswith("ask") else 0 for row in here}
    met = _meet(town, here, [lists[row].rows[places[row]].item_id for row in here], day)
    for row, slate in lists.items():
        _true_move(town, row, slate, day)
    felt = ask(replace(town.world, ask_rate=1.0), met, town.seed + day)
    back = returns(town.world, met, town.seed + day)["returned"].to_pylist()
    shown = answered = 0
    for place, row in enumerate(here):
        survey = _tell(service, town, row, lists[row], places[row], f"{tag}-{row}", float(rng.random()))
        town.back[row] = bool(back[place])
        if survey is not None:
            shown += 1
            answer = felt["return"][place].as_py()
            if answer is not None:
                answered += 1
                service.answer_survey(survey["question_id"], town.users[row], int(answer))
    return {
        "day": day,
        "part": "asking" if tag.startswith("ask") else "test",
        "here": len(here),
        "asked": shown,
        "answered": answered,
        "returned": sum(back),
    }


def _wish(request_id: str, user: str) -> Query:
    return Query(user, k=K, request_id=request_id)


def _meet(town: Town, here: list[int], items: list[str], day: int) -> pa.Table:
    columns = [town.rows[item] for item in items]
    liking, who = town.liking[here, columns], np.array(here, np.int64)
    return draw_impressions(
        town.world, town.listeners, who, items, liking, town.quality[columns], day, town.seed
    )


def _tell(
    service: WorkspaceService, town: Town, row: int, slate: Any, place: int, name: str, luck: float
) -> Any:
    """The day's event of one listener: one place is heard, and liked or skipped by taste; the server may ask
    about it.
    """
    item = slate.rows[place].item_id
    taste = float(town.liking[row, town.rows[item]]) + 2 * luck - 1
    kind, value = ("like", None) if taste > 1.2 else ("skip", None) if taste < -0.6 else ("play", 0.9)
    event = Happened(name, town.users[row], kind, item, value=value, request_id=slate.request_id)
    return service.add_events([event])["survey"]


def _true_move(town: Town, row: int, slate: Any, day: int) -> None:
    """What the adjusted first place changes in truth, against the model's own first."""
    rows = slate.rows
    if rows[0].retention is None:
        return
    alone = max(rows, key=lambda shown: shown.score)
    pair = _meet(town, [row, row], [rows[0].item_id, alone.item_id], day)
    adjusted, base = expected_return(town.world, pair)
    town.moved.append((rows[0] is not alone, float(adjusted), float(base)))


def truth(town: Town) -> dict[str, Any]:
    """What no real log shows: how far adjusted first places moved the chance of returning, by list, with a 95
    % interval.
    """
    lift = np.array([adjusted - base for _, adjusted, base in town.moved])
    half = 1.96 * lift.std() / max(1, len(lift)) ** 0.5
    return {
        "lists": len(lift),
        "changed": sum(item for item, _, _ in town.moved),
        "true": [lift.mean(), lift.mean() - half, lift.mean() + half],
    }


def read_out(folder: Path, out: Path) -> dict[str, Any]:
    """Export, check and read the test as anybody would."""
    plan, results = out / "plan.toml", out / "results.parquet"
    write_text(plan, PLAN.format(EXPERIMENT))
    exported = export_trial(folder, results, EXPERIMENT, days=1)
    with progress(True) as report:
        checked = check_experiment(results, plan, report, exposures=Path(exported["exposures"]))
        read = read_experiment(results, plan, out / "readout", report)
    table = read_table(results).to_pylist()
    arms = {
        arm: np.array([row["returned"] for row in table if row["arm"] == arm], float)
        for arm in exported["counts"]
    }
    message = {arm: [len(values), values.mean(), values.var(ddof=1)] for arm, values in sorted(arms.items())}
    return {"arms": message, "split": checked["passed"], "decision": read["decision"]}


def difference(values: dict[str, Any]) -> list[float]:
    """Treatment minus control of the share that returned, with its 95 % interval."""
    (m, a, v), (n, b, w) = values["arms"]["treatment"], values["arms"]["control"]
    half = 1.96 * (v / m + w / n) ** 0.5
    return [a - b, a - b - half, a - b + half]


def show_days(arguments: Namespace, key: list[Any], daily: list[dict[str, Any]]) -> None:
    """The table and figure of the days of the first loop."""
    note = (
        "Every listener is simulated. A tenth is never asked; else the question follows every second play or"
        " like."
    )
    title = f"Days of world '{key[0]}', seed {key[1]}: who was there, was asked, answered, came back"
    show_table(arguments.out, daily, title, note, "days")
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    days = [item["day"] for item in daily]
    for name, marker in (("here", "o"), ("asked", "s"), ("answered", "^")):
        axes.plot(days, [item[name] for item in daily], marker=marker, label=f"{name} (simulated listeners)")
    started = next((item["day"] for item in daily if item["part"] == "test"), None)
    if started is not None:
        axes.axvline(started - 0.5, color="grey", linestyle="--")
        axes.annotate(
            "proxy deployed, test starts", (started - 0.45, axes.get_ylim()[1] * 0.97), va="top", fontsize=9
        )
    axes.set(xlabel="day", ylabel="people", ylim=(0, None))
    axes.legend(frameon=False, fontsize=9)
    save_figure(arguments.out, figure, "days")


def show_loops(arguments: Namespace, keys: list[Any], lived: list[dict[str, Any]]) -> None:
    """Every loop: what the test found, beside what is true."""
    rows = []
    for (world, seed), item in zip(keys, lived, strict=True):
        row = {"world": world, "seed": seed, "shown, answered": f"{item['shown']:,}, {item['answered']:,}"}
        row |= dict.fromkeys(
            ("log loss", "first places changed", "true change", "the test's estimate", "people"), ""
        )
        if not item["deployed"]:
            rows.append(row | {"decision": f"no test: {item['reason']}"})
            continue
        row |= {
            "skill": f"{item['skill']:.3f}",
            "first places changed": f"{item['changed']:,} of {item['lists']:,}",
        }
        row |= {"true change": points(item["true"]), "the test's estimate": points(difference(item))}
        units = " + ".join(f"{values[0]:,}" for values in item["arms"].values())
        rows.append(row | {"people": units, "decision": item["decision"]})
    note = (
        "Chance of returning the next day, percentage points. log loss: on unseen users, of knowing only"
        " their average. The true change is over the lists of the treated and known because listeners are"
        " simulated; the test's estimate is from logged returns alone, a difference of two shares."
    )
    show_table(arguments.out, rows, "The loop (simulated listeners)", note)
    read = [(key, entry) for key, entry in zip(keys, lived, strict=True) if entry["deployed"]]
    if read:
        show_table(
            arguments.out, together(read), "The loop over seeds (simulated listeners)", TOGETHER, "together"
        )
        save_figure(arguments.out, picture(read))


def together(read: list[tuple[list[Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each world over its seeds: means with t intervals over seeds, which hold the difference between
    catalogues.
    """
    rows = []
    for world in PATHS:
        ones = [item for (path, _), item in read if path == world]
        if len(ones) < 2:
            continue
        row: dict[str, Any] = {"world": world, "seeds": len(ones)}
        row |= {
            "first places changed": (
                f"{sum(item['changed'] for item in ones) / sum(item['lists'] for item in ones):.1%}"
            )
        }
        row |= {"true change, points": points(mean_of([item["true"][0] for item in ones]))}
        row |= {
            "mean of the tests' estimates, points": points(mean_of([difference(item)[0] for item in ones]))
        }
        row |= {
            "intervals that hold the truth": sum(
                low <= item["true"][0] <= high for item in ones for _, low, high in [difference(item)]
            )
        }
        rows.append(row | {"told to ship": sum(item["decision"] == "ship" for item in ones)})
    return rows


def mean_of(values: list[float]) -> list[float]:
    """Mean and its 95 % t interval over seeds."""
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return [float(np.mean(values)), float(np.mean(values) - half), float(np.mean(values) + half)]


def points(values: list[float]) -> str:
    """value [low, high] in percentage points."""
    item, low, high = (f"{100 * value:+.2f}" for value in values)
    return f"{item} [{low}, {high}]"


def picture(read: list[tuple[list[Any], dict[str, Any]]]) -> Figure:
    """One row a loop: the truth, and what the test could see of it."""
    figure = Figure(figsize=(7.5, 1.4 + 0.34 * len(read)), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(read, key=lambda item: (PATHS.index(item[0][0]), item[0][1]))
    for shift, label, colour, of in (
        (-0.14, "true change (lists of the treated)", "#1f5f8b", lambda item: item["true"]),
        (0.14, "estimate of the test (logged returns)", "#d08a2e", difference),
    ):
        for row, (_, item) in enumerate(ordered):
            value, low, high = (100 * each for each in of(item))
            name = label if row == 0 else None
            axes.errorbar(
                value,
                row + shift,
                xerr=[[value - low], [high - value]],
                fmt="o",
                color=colour,
                capsize=3,
                markersize=4,
                label=name,
            )
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(ordered)), [f"{world}, seed {seed}" for (world, seed), _ in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set(xlabel="change of the chance to return the next day, percentage points, 95 %", ylabel="world")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    command(main)
