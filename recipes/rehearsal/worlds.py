"""The whole loop in ten worlds: does any part do harm where it cannot help?

`tastemaker rehearse` in each kind of world (people return for what they like; by their nature alone; tastes
drift; programs push items), with several crowds each. A part's effect is the paired difference in the true
chance to return to the same world without it: for a kind of world the mean over its crowds, with an interval
by resampling their people; over all worlds the mean with Student's interval over worlds.
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from recipes.common import Journal, command, parser, read_arguments
from tastemaker.cli.progress import progress
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.flows.retention.tables import write_claim
from tastemaker.rehearse.crowd import WORLDS
from tastemaker.rehearse.operator import processes
from tastemaker.rehearse.rehearse import (
    ALL,
    HARM,
    NONE,
    TOGETHER,
    RehearsalSettings,
    compared,
    mean_of,
    outcome,
    points,
    rehearse,
    scaled,
    slug,
)
from tastemaker.rehearse.town import PARTS, Schedule
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table
from tastemaker.stats.intervals import Interval
from tastemaker.store import Workspace

NAME = "worlds"
EVERY = "every world"
COUNTS = (
    "proxies tried",
    "proxies deployed",
    "policies learnt",
    "policies certified",
    "alarms",
    "items told as pushed",
    "refused requests",
)
SMALL = {"threads": 1, "text_view": "tfidf", "sft_epochs": 6, "width": 64, "layers": 1}
MEASURES = {
    "returning": "What each part did to the true chance to return, in points",
    "plays": "What each part did to the plays of a hundred lists",
}
ANSWERS = 40  # that a proxy is learnt from at least
TALKING = 0.1  # share of visits with a conversation
CROWDS = {"item": 3, "person": 3, "drift": 2, "poison": 2}
BUILT_IN = {
    "item": "people return for what they liked",
    "person": "people return by their nature alone: nothing can help, a proxy is useless, answers are noise",
    "drift": "as item, and tastes turn by a twentieth a day",
    "poison": (
        "as item, and one user in a hundred (at least two) is a program that pushes the three least"
        " liked items"
    ),
}


def main() -> None:
    """Every crowd of every world; then the page."""
    options = parser(main, "one crowd a world, 30 people, 4 days, 100 tunes and listeners")
    options.add_argument("--days", type=int, default=8, help="days of each world")
    options.add_argument("--night", type=int, default=4, help="days from one training to the next")
    options.add_argument("--people", type=int, default=50, help="people of each crowd")
    options.add_argument("--tunes", type=int, default=120, help="tunes of the catalogue")
    options.add_argument("--listeners", type=int, default=120, help="people in its log, of whom crowds are")
    options.add_argument("--jobs", type=int, default=2, help="worlds at once")
    options.add_argument("--workspace", type=Path, help="tables and settings (default: the demo's tunes)")
    arguments = read_arguments(options, NAME)
    if arguments.quick:
        arguments.days, arguments.night, arguments.people = 4, 2, 30
        arguments.tunes = arguments.listeners = 100
    shape = {name: getattr(arguments, name) for name in ("days", "night", "people", "tunes", "listeners")}
    of = {"seed": arguments.seed, "workspace": arguments.workspace and str(arguments.workspace.resolve())}
    journal = Journal(arguments.out, {"quick": arguments.quick, **of, **shape})
    keys: list[tuple[str, int]] = [
        (world, crowd) for world in WORLDS for crowd in range(1 if arguments.quick else CROWDS[world])
    ]
    workspace = arguments.workspace or _tunes(arguments)
    with processes(arguments.jobs) as pool:
        lived = journal.run(keys, lambda key: _live(arguments, workspace, key, pool), "worlds")
    report = judged([key[0] for key in keys], lived, shape | {"seed": arguments.seed})
    print(write_claim(report, arguments.out)["text"])


def _tunes(arguments: Namespace) -> Path:
    folder: Path = arguments.out / "tunes"
    if not folder.exists() or not Workspace.open(folder).has_tables():
        shutil.rmtree(folder, ignore_errors=True)
        Workspace.create(folder, {"title": "Traditional tunes", "seed": arguments.seed} | SMALL)
        with progress(True) as report:
            ingest_dataset(folder, "tunes", report, arguments.tunes, arguments.listeners)
    return folder


def _live(arguments: Namespace, workspace: Path, key: Sequence[Any], pool: Executor) -> dict[str, Any]:
    """One crowd of one world: what each part did to each person, and each arm in numbers. Of its arms the
    diaries stay.
    """
    world, crowd = key
    schedule = Schedule(arguments.days, night=arguments.night, talking=TALKING, answers=ANSWERS)
    without = ("proxy",) if world == "person" else PARTS  # there, nothing else can matter
    settings = RehearsalSettings(arguments.people, arguments.seed + crowd, world, without, schedule)
    out = arguments.out / f"{world}-{crowd}"
    # The first model depends on the crowd's seed alone: it is trained once, whatever world it lives in.
    trained = next(arguments.out.glob(f"*-{crowd}/ready"), None)
    if trained is not None and not (out / "ready").exists():
        shutil.copytree(trained.parent / "base", out / "base", dirs_exist_ok=True)
        shutil.copyfile(trained, out / "ready")
    with progress(True) as report:
        rehearse(workspace, out, settings, report, pool)
    names = {arm: slug(arm) for arm in settings.arms}
    diaries = {arm: json.loads((out / f"{name}.json").read_text()) for arm, name in names.items()}
    for name in names.values():
        shutil.rmtree(out / name, ignore_errors=True)  # gone where the last run was stopped just here
    return {
        what: {part: values.tolist() for part, values in compared(diaries, settings, what).items()}
        for what in MEASURES
    } | {
        "arms": {arm: outcome(arm, diary) | night_counts(diary) for arm, diary in diaries.items()},
        "seconds": {arm: diary["seconds"] for arm, diary in diaries.items()},
    }


def night_counts(diary: dict[str, Any]) -> dict[str, int]:
    """What the nights of a world came to, in counts."""
    nights = diary["nights"]
    proxies = [night for night in nights if night["what"] == "proxy"]
    policies = [night for night in nights if night["what"] == "certificate"]
    return {
        "proxies tried": len(proxies),
        "proxies deployed": sum(night["deployed"] for night in proxies),
        "policies learnt": sum(night["learnt"] for night in policies),
        "policies certified": sum(bool(night.get("certified")) for night in policies),
        "items told as pushed": len(diary["flagged"]),
    }


def judged(kinds: Sequence[str], lived: Sequence[dict[str, Any]], settings: dict[str, Any]) -> ClaimReport:
    """No part may cost more than a point in any kind of world."""
    effects, plays = (_pooled(kinds, lived, what, settings["seed"]) for what in MEASURES)
    named = {f"{part} · {kind}": effect for kind, own in effects.items() for part, effect in own.items()}
    harm = [name for name, effect in named.items() if effect.high < -HARM]
    open_ = [name for name, effect in named.items() if effect.low <= -HARM]
    words = "every part is shown to cost less than 1 point in every kind of world"
    if harm:
        words = f"shown to cost more than 1 point: {', '.join(harm)}"
    elif open_:
        words = f"no part is shown to cost 1 point, and it is not excluded of {', '.join(open_)}"
    whole = effects.get(EVERY, effects[kinds[0]])[TOGETHER]
    return ClaimReport(
        "No part of the loop costs 1 point of the true chance to return, in any kind of world",
        "not supported" if harm else "cannot tell" if open_ else "supported",
        f"Over {len(lived)} worlds all parts together move the true chance to return by {points(whole)};"
        f" {words}.",
        (*map(_effects, MEASURES.values(), (effects, plays)), _outcomes(kinds, lived)),
        (
            Intervals.of(
                "What each part did, by world",
                "points of the true chance to return",
                {name: scaled(effect) for name, effect in named.items()},
                reference=0.0,
            ),
        ),
        assumptions=tuple(f"built in, {kind}: {BUILT_IN[kind]}" for kind in dict.fromkeys(kinds)),
        limits=("Nothing here is a person: it shows that the parts work together, not that people return.",),
        settings=settings,
    )


def _pooled(
    kinds: Sequence[str], lived: Sequence[dict[str, Any]], what: str, seed: int
) -> dict[str, dict[str, Interval]]:
    """Each part's effect in each kind of world, and over all worlds that lived without it."""
    effects: dict[str, dict[str, Interval]] = {}
    means: dict[str, list[float]] = {part: [] for part in (*PARTS, TOGETHER)}
    for kind in dict.fromkeys(kinds):
        own = [result[what] for name, result in zip(kinds, lived, strict=True) if name == kind]
        effects[kind] = {part: mean_of([np.array(crowd[part]) for crowd in own], seed) for part in own[0]}
        for part in own[0]:
            means[part] += [float(np.mean(crowd[part])) for crowd in own]
    if len(lived) > 1:
        effects[EVERY] = {part: over(values) for part, values in means.items()}
    return effects


def over(values: Sequence[float]) -> Interval:
    """The mean over worlds with Student's interval."""
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return Interval(float(np.mean(values)), np.mean(values) - half, np.mean(values) + half, len(values))


def _effects(title: str, effects: dict[str, dict[str, Interval]]) -> Table:
    rows: list[dict[str, Cell]] = [
        {"world": kind} | {part: scaled(own[part]) if part in own else None for part in (*PARTS, TOGETHER)}
        for kind, own in effects.items()
    ]
    note = (
        "Against the same world without the part, paired by person. A kind of world: 95 % by resampling the"
        f" people of its crowds; '{EVERY}': Student over worlds."
    )
    return Table.of(title, rows, note)


def _outcomes(kinds: Sequence[str], lived: Sequence[dict[str, Any]]) -> Table:
    """What the parts said where everything was on, and how often pushed items were shown, with and
    without.
    """
    rows: list[dict[str, Cell]] = []
    for kind in dict.fromkeys(kinds):
        own = [result["arms"] for name, result in zip(kinds, lived, strict=True) if name == kind]
        row: dict[str, Cell] = {"world": kind, "crowds": len(own)}
        row |= {name: sum(arms[ALL][name] for arms in own) for name in COUNTS}
        for arm in (ALL, NONE):
            row[f"rows of pushed items, {arm}"] = ", ".join(arms[arm]["rows of pushed items"] for arms in own)
        rows.append(row)
    return Table.of("What the parts said, where everything is on", rows)


if __name__ == "__main__":
    command(main)
