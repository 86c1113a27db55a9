"""The whole loop on the demo catalogue: asking, learning, adjusting, testing, reading out. Every listener is simulated.

Real tunes, a model trained on simulated plays, and the server's own service with a clock that is moved by hand. Days of the
first part: lists are served, plays and likes are stored, the server asks, and listeners answer (or do not) by what they met
and felt (`simulate/retention`). Then `proxy live` fits, judges and deploys. Days of the second part: a test splits people by
salted hash, exposures are logged, the proxy ranks for one half, and listeners return by what the first place gave them. Then
the test is exported, checked and read out like any other. Beside it stands the truth that no real log shows: by how much the
adjusted first place changes the chance of returning. `--world user` is the same loop where only the person
counts: no order of a list changes anybody's chance of returning, whatever the proxy predicts.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from recipes.common import parser, read_arguments, save_figure, show_table
from tastemaker.cli.progress import progress
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.flows.media import FACTS_FILE
from tastemaker.flows.retention.experiment.run import check_experiment, read_experiment
from tastemaker.flows.retention.live.fit import fit_live
from tastemaker.flows.retention.live.trial import export_trial
from tastemaker.flows.service import WorkspaceService
from tastemaker.flows.train import run_stages
from tastemaker.simulate.listeners import simulate
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, expected_return, meetings, returns
from tastemaker.simulate.retention.world import PATHS
from tastemaker.stats.random import generator
from tastemaker.store import Workspace, read_table, write_text
from tastemaker.store.settings import SETTINGS_FILE

NAME = "live_loop"
START = datetime(2026, 3, 2, 18, tzinfo=UTC)
ASKING = {"ask_share": 0.5, "ask_hours": 20.0, "ask_lists": 1, "ask_holdout": 0.1}
K = 8
PLAN = """\
id = "rr-demo"
primary = ["returned"]
exploratory = ["likes"]
horizon = "day 1 after the first exposure"
shares = { control = 0.5, treatment = 0.5 }
guardrails = { skips = 0.2 }

[metrics.returned]
[metrics.likes]
denominator = "plays"
[metrics.skips]
better = "down"
"""


@dataclass
class Town:
    """The simulated listeners of one catalogue, and what is true of them.

    back: who comes again tomorrow. moved: the true chance of returning after each first place, as served and as the model alone
    had it.
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
    moved: list[tuple[float, float]] = field(default_factory=list)


def main() -> None:
    """Build, ask, fit, test, show."""
    found = parser(main, "300 listeners, 100 tunes and a small model")
    found.add_argument("--world", default="item", choices=PATHS, help="why people return: the item, the user, or the day")
    arguments = read_arguments(found, NAME)
    folder, size = arguments.out / "workspace", (100, 300) if arguments.quick else (300, 800)
    build(folder, size, arguments)
    for old in folder.glob("tastemaker.sqlite*"):
        old.unlink()  # the days are lived again from the first
    town = settle(folder, size[1], arguments)
    asking = 12 if arguments.quick else 8
    daily = [live(serve(folder, town, ASKING), town, day, f"ask{day}") for day in range(asking)]
    with progress(False) as report:
        fitted = fit_live(folder, report, least=200)
    print(fitted["text"])
    if not fitted["deployed"]:
        raise SystemExit(fitted["exit_code"])
    testing = ASKING | {"experiment": "rr-demo"}
    service = serve(folder, town, testing)
    for day in range(asking, asking + 4):
        daily.append(live(service, town, day, f"test{day}"))
    show_days(arguments, daily)
    read_out(arguments, folder, town, service)


def build(folder: Path, size: tuple[int, int], arguments: Namespace) -> None:
    """The workspace, its tables and its model; what an earlier run made is kept."""
    small = {"sft_epochs": 2, "width": 64, "layers": 1} if arguments.quick else {"sft_epochs": 8}
    if not (folder / SETTINGS_FILE).exists():
        dials = {"title": "Traditional tunes, simulated listeners", "seed": arguments.seed, "threads": 1, "text_view": "tfidf"}
        Workspace.create(folder, dials | small)
    with progress(False) as report:
        if not Workspace.open(folder).has_tables():
            ingest_dataset(folder, "tunes", report, *size)
        print(run_stages(folder, report)["text"])


def settle(folder: Path, listeners: int, arguments: Namespace) -> Town:
    """The truth behind the workspace's simulated listeners, drawn again from the same key."""
    facts = read_table(Workspace.open(folder).data / FACTS_FILE)
    simulated = simulate(facts, listeners, arguments.seed)
    world = ListenerWorld.of(
        arguments.world, listeners=listeners, items=facts.num_rows, answer_rate=0.75, answer_by_activity=0.3, asked_effect=0.0
    )
    liking = np.asarray(simulated.world.utility, np.float64)
    users = sorted(set(simulated.interactions["user_id"].to_pylist()))
    people = draw_listeners(world, arguments.seed).set_column(0, "user_id", pa.array(users))
    rows = {item: row for row, item in enumerate(facts["item_id"].to_pylist())}
    quality = liking.mean(axis=0)  # what everybody shares of an item
    return Town(world, arguments.seed, users, rows, liking / liking.std(), (quality - quality.mean()) / quality.std(), people)


def serve(folder: Path, town: Town, dials: dict[str, Any]) -> WorkspaceService:
    """The server's service under the town's clock."""
    opened = Workspace.open(folder)
    return WorkspaceService(replace(opened, settings={**opened.settings, **dials}), lambda: town.clock[0])


def live(service: WorkspaceService, town: Town, day: int, tag: str) -> dict[str, Any]:
    """One day: who is there asks for a list, hears one of its places, answers, and decides whether to return."""
    town.clock[0] = START + timedelta(days=day)
    rng = generator(town.seed, "day", tag)
    here = [row for row in range(len(town.users)) if town.back.get(row, day == 0) or rng.random() < 0.25]
    lists: dict[int, Any] = {}
    for start in range(0, len(here), 64):
        part = here[start : start + 64]
        wishes = [_wish(f"{tag}-{row}", town.users[row]) for row in part]
        lists |= dict(zip(part, service.recommend_many(wishes), strict=True))
    # While answers are gathered any place may be heard, so that they vary with the score; in the test it is the first.
    heard = {row: int(rng.integers(len(lists[row]["rows"]))) if tag.startswith("ask") else 0 for row in here}
    met = _meet(town, here, [lists[row]["rows"][heard[row]]["item_id"] for row in here], day)
    for row, slate in lists.items():
        _true_move(town, row, slate, day)
    felt = ask(replace(town.world, ask_rate=1.0), met, town.seed + day)
    back = returns(town.world, met, town.seed + day)["returned"].to_pylist()
    shown = answered = 0
    for place, row in enumerate(here):
        survey = _tell(service, town, row, lists[row], heard[row], f"{tag}-{row}", float(rng.random()))
        town.back[row] = bool(back[place])
        if survey is not None:
            shown += 1
            answer = felt["return"][place].as_py()
            if answer is not None:
                answered += 1
                service.answer_survey(survey["question_id"], town.users[row], int(answer))
    part = "asking" if tag.startswith("ask") else "test"
    return {"day": day, "part": part, "here": len(here), "asked": shown, "answered": answered, "returned": sum(back)}


def _wish(request_id: str, user: str) -> SimpleNamespace:
    return SimpleNamespace(request_id=request_id, user_id=user, history=(), k=K, filters={}, exclude=frozenset(), deadline=None)


def _meet(town: Town, here: list[int], items: list[str], day: int) -> pa.Table:
    columns = [town.rows[item] for item in items]
    liking, who = town.liking[here, columns], np.array(here, np.int64)
    return meetings(town.world, town.listeners, who, items, liking, town.quality[columns], day, town.seed)


def _tell(service: WorkspaceService, town: Town, row: int, slate: Any, place: int, name: str, luck: float) -> Any:
    """The day's event of one listener: one place is heard, and liked or skipped by taste; the server may ask about it."""
    item = slate["rows"][place]["item_id"]
    taste = float(town.liking[row, town.rows[item]]) + 2 * luck - 1
    kind, value = ("like", None) if taste > 1.2 else ("skip", None) if taste < -0.6 else ("play", 0.9)
    event = SimpleNamespace(
        event_id=name, user_id=town.users[row], kind=kind, item_id=item, value=value, request_id=slate["request_id"],
        target=None,
    )  # fmt: skip
    return service.add_events([event])["survey"]


def _true_move(town: Town, row: int, slate: Any, day: int) -> None:
    """What the adjusted first place changes in truth, against the model's own first."""
    rows = slate["rows"]
    if rows[0]["retention"] is None:
        return
    alone = max(rows, key=lambda one: one["score"])
    pair = _meet(town, [row, row], [rows[0]["item_id"], alone["item_id"]], day)
    adjusted, base = expected_return(town.world, pair)
    town.moved.append((float(adjusted), float(base)))


def show_days(arguments: Namespace, daily: list[dict[str, Any]]) -> None:
    """The table and figure of the days."""
    note = "Every listener is simulated. A tenth is never asked; else the question follows every second play or like."
    show_table(arguments.out, daily, "Days: who was there, was asked, answered, came back", note)
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    days = [one["day"] for one in daily]
    for name, marker in (("here", "o"), ("asked", "s"), ("answered", "^")):
        axes.plot(days, [one[name] for one in daily], marker=marker, label=f"{name} (simulated listeners)")
    started = next(one["day"] for one in daily if one["part"] == "test")
    axes.axvline(started - 0.5, color="grey", linestyle="--")
    axes.annotate("proxy deployed, test starts", (started - 0.45, axes.get_ylim()[1] * 0.97), va="top", fontsize=9)
    axes.set(xlabel="day", ylabel="people", ylim=(0, None))
    axes.legend(frameon=False, fontsize=9)
    save_figure(arguments.out, figure)


def read_out(arguments: Namespace, folder: Path, town: Town, service: WorkspaceService) -> None:
    """Export, check, read; and the truth beside it."""
    plan, results = arguments.out / "plan.toml", arguments.out / "results.parquet"
    write_text(plan, PLAN)
    exported = export_trial(folder, results, "rr-demo")
    print(exported["text"])
    with progress(False) as report:
        checked = check_experiment(results, plan, report, exposures=Path(exported["exposures"]))
        read = read_experiment(results, plan, arguments.out / "readout", report)
    print(checked["text"], read["text"], sep="\n\n")
    lift = np.array([adjusted - base for adjusted, base in town.moved])
    width = 196 * lift.std() / max(1, len(lift)) ** 0.5
    shown, answered = service.asker.surveys.count()
    rows = [
        {"what": "questions shown, answered", "value": f"{shown:,}, {answered:,}"},
        {"what": "decision of the read-out", "value": read["decision"]},
        {"what": "lists of the treated where the first place changed", "value": f"{int((lift != 0).sum()):,} of {len(lift):,}"},
        {"what": "true change of the chance to return, points", "value": f"{100 * lift.mean():+.2f} ± {width:.2f}"},
        {"what": "units, by arm", "value": ", ".join(f"{arm} {n}" for arm, n in sorted(exported["counts"].items()))},
    ]  # fmt: skip
    note = (
        "The true change is known because listeners are simulated; the interval is over lists. What the test itself could "
        "have seen stands in its read-out."
    )
    show_table(arguments.out, rows, f"The loop, world '{arguments.world}' (simulated)", note, "loop")


if __name__ == "__main__":
    main()
