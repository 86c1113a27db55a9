"""A rehearsal: one crowd lives in worlds that differ in one part each; a page says what parts did."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.flows.retention.tables import write_claim
from tastemaker.rehearse.crowd import WORLDS, Crowd, CrowdSettings
from tastemaker.rehearse.operator import Catalogue, Operator, processes
from tastemaker.rehearse.town import PARTS, Schedule, Town
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Lines, Table
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator, hashed_order
from tastemaker.store import Workspace, write_json
from tastemaker.store.settings import SETTINGS_FILE

Floats = npt.NDArray[np.float64]
Report = Callable[[str, float, float, str], None]
ARRIVING = 0.1  # share of the catalogue that arrives during the rehearsal
ALL, NONE, TOGETHER = "everything", "nothing", "all parts together"
HARM = 0.01  # a part may cost at most this much of the chance to return, in all worlds
DRAWS = 2_000


@dataclass(frozen=True)
class RehearsalSettings:
    """people: how many of the workspace's users live on. without: parts to leave out, one world each, beside
    the world with everything and the one with nothing. jobs: worlds at once.
    """

    people: int = 150
    seed: int = 0
    world: str = "item"
    without: tuple[str, ...] = PARTS
    schedule: Schedule = field(default_factory=Schedule)
    jobs: int = 2

    def __post_init__(self) -> None:
        """Parts and worlds that are none, and bounds that make no rehearsal, are refused."""
        if unknown := sorted(set(self.without) - set(PARTS)):
            raise InputError(f"part '{unknown[0]}' is unknown; choose {', '.join(PARTS)}")
        if self.world not in WORLDS:
            raise InputError(f"world '{self.world}' is unknown; choose {', '.join(WORLDS)}")
        if self.people < 20 or self.schedule.days < 2:
            raise InputError("a rehearsal needs at least 20 people and 2 days")

    @property
    def arms(self) -> dict[str, frozenset[str]]:
        """The parts that each world has."""
        parts = frozenset(PARTS)
        return (
            {ALL: parts} | {f"without {part}": parts - {part} for part in self.without} | {NONE: frozenset()}
        )


def rehearse(
    workspace: Path, out: Path, settings: RehearsalSettings, report: Report, pool: Executor | None = None
) -> dict[str, Any]:
    """Live the days in every world, and write the page; worlds that an earlier run finished are kept.

    pool: processes that live the worlds, of which several rehearsals make use; default: `settings.jobs` own.
    Raises InputError when the workspace has no tables, or fewer people than are wanted.
    """
    catalogue = split(Workspace.open(workspace), settings)
    out.mkdir(parents=True, exist_ok=True)
    plan = json.loads(json.dumps({"workspace": str(workspace.resolve()), **asdict(settings)}))
    del plan["jobs"]
    known = out / "rehearsal.json"
    if known.exists() and json.loads(known.read_text()) != plan:
        raise InputError(
            f"{out}: holds a rehearsal with other settings or of another workspace; choose another --out"
        )
    write_json(known, plan)
    base = out / "base"
    if not (out / "ready").exists():
        report("the first model", 0, 1, "trained without the items that arrive later")
        prepare(workspace, base, catalogue)
        (out / "ready").write_text("trained\n")
        report("the first model", 1, 1, "")
    waiting = [arm for arm in settings.arms if not (out / f"{slug(arm)}.json").exists()]
    report("worlds", len(settings.arms) - len(waiting), len(settings.arms), "")
    with processes(settings.jobs) if pool is None else nullcontext(pool) as pool:
        work = [pool.submit(live, arm, out, workspace, settings) for arm in waiting]
        for number, (arm, lived) in enumerate(zip(waiting, work, strict=True), start=1):
            lived.result()
            report("worlds", len(settings.arms) - len(waiting) + number, len(settings.arms), arm)
    diaries = {arm: json.loads((out / f"{slug(arm)}.json").read_text()) for arm in settings.arms}
    summary = write_claim(judged(diaries, settings), out)
    return summary | {"exit_code": 0}  # it was lived to its end, whatever it showed


def slug(arm: str) -> str:
    """The arm's name as a file's."""
    return arm.replace(" ", "-")


def split(workspace: Workspace, settings: RehearsalSettings) -> Catalogue:
    """The tables without media, and the tenth of the items that arrive later."""
    items = workspace.table("items")
    media = [name for name in ("audio", "image") if name in items.column_names]
    items = items.drop_columns(media)
    ids = items["item_id"].to_pylist()
    order = hashed_order(ids, f"rehearsal-{settings.seed}")
    arrivals = tuple(ids[place] for place in order[: round(ARRIVING * len(ids))])
    catalogue = Catalogue(items, workspace.table("interactions"), arrivals)
    people = len(set(catalogue.interactions["user_id"].to_pylist()))
    if people < settings.people:
        raise InputError(f"{workspace.root}: {people} people, fewer than --people {settings.people}")
    return catalogue


def prepare(workspace: Path, folder: Path, catalogue: Catalogue) -> None:
    """A workspace with the settings of another, trained on the catalogue of the first day.

    Raises InputError when it cannot be trained.
    """
    shutil.rmtree(folder, ignore_errors=True)
    Workspace.create(folder)
    shutil.copyfile(workspace / SETTINGS_FILE, folder / SETTINGS_FILE)
    operator = Operator(folder)
    operator.set({"exploration": 0.0, "ask_share": 0.0, "experiment": "", "host": "127.0.0.1"})
    operator.ingest(catalogue, catalogue.arrivals)
    code, result = operator.command("train")
    if code:
        raise InputError(f"{folder}: the first training failed: {result.get('error', result)}")


def live(arm: str, out: Path, workspace: Path, settings: RehearsalSettings) -> None:
    """One world, from a copy of the first model to its diary."""
    folder = out / slug(arm)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(out / "base", folder)
    catalogue = split(Workspace.open(workspace), settings)
    crowd = Crowd(
        catalogue.items,
        catalogue.interactions,
        settings.people,
        settings.seed,
        CrowdSettings(world=settings.world),
    )
    town = Town(folder, crowd, catalogue, settings.arms[arm], settings.schedule)
    if not Workspace.open(workspace).settings.threads:  # worlds that share the cores wait for each other else
        town.operator.set({"threads": max(1, (os.cpu_count() or 1) // settings.jobs)})
    diary = town.live(arm, lambda *_: None)
    write_json(out / f"{slug(arm)}.json", asdict(diary))


# ---- what the diaries say


def compared(
    diaries: dict[str, dict[str, Any]], settings: RehearsalSettings, what: str = "returning"
) -> dict[str, Floats]:
    """Each part's differences, by person: everything against the same world without the part."""
    others = {part: f"without {part}" for part in settings.without} | {TOGETHER: NONE}
    return {part: differences(diaries[ALL], diaries[arm], what) for part, arm in others.items()}


def judged(diaries: dict[str, dict[str, Any]], settings: RehearsalSettings) -> ClaimReport:
    """What each part did, against the same world without it."""
    effects = {part: mean_of([values], settings.seed) for part, values in compared(diaries, settings).items()}
    harm = [part for part, effect in effects.items() if effect.high < -HARM]
    gain, harmless = effects[TOGETHER], all(effect.low > -HARM for effect in effects.values())
    verdict: Any = "not supported" if harm else "cannot tell"
    words = f"; {' and '.join(harm)} cost more than 1 point" if harm else "; no part is shown to cost 1 point"
    if harmless:
        verdict, words = (
            ("supported" if gain.low > 0 else verdict),
            "; each part is shown to cost less than 1 point",
        )
    follows = "no list changes who returns" if settings.world == "person" else "it follows what was liked"
    return ClaimReport(
        "The loop raises the true chance to return, and no part of it costs 1 point",
        verdict,
        f"All parts together move the true chance to return by {points(gain)}{words}.",
        tables(diaries, effects),
        figures(diaries, effects, settings.schedule.days),
        assumptions=(
            "built in: liking follows attributes, people alike, and quality; see docs/rehearsal.md",
            f"built in: of the chance to return in the world '{settings.world}', {follows}",
        ),
        limits=("Nothing here is a person: it shows that the parts work together, not that people return.",),
        settings={
            "people": settings.people,
            "days": settings.schedule.days,
            "seed": settings.seed,
            "world": settings.world,
        },
    )


def tables(diaries: dict[str, dict[str, Any]], effects: dict[str, Interval]) -> tuple[Table, ...]:
    """Each world in numbers, each part's effect, and what the nights said."""
    difference = "difference to the same world without it"
    parts: list[dict[str, Cell]] = [
        {"part": name, difference: scaled(effect)} for name, effect in effects.items()
    ]
    rows = [row for arm, diary in diaries.items() for row in nights(arm, diary)]
    return (
        Table.of(
            "The same crowd in each world",
            [outcome(arm, diary) for arm, diary in diaries.items()],
            "Returning is the true chance of each list, known to the simulation alone.",
        ),
        Table.of(
            "What each part did to the true chance to return, in points",
            parts,
            "Paired by person; 95 % intervals by resampling people.",
        ),
        *([Table.of("What the nights said", rows)] if rows else []),
    )


def figures(
    diaries: dict[str, dict[str, Any]], effects: dict[str, Interval], days: int
) -> tuple[Intervals | Lines, ...]:
    """The effects, and the days of each world."""
    axis = tuple(float(day + 1) for day in range(days))

    def lines(new: bool) -> tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...]:
        return tuple((arm, axis, daily(diary, days, new)) for arm, diary in diaries.items())

    points_each = {part: scaled(effect) for part, effect in effects.items()}
    label, share = "mean over the lists of the day", "share of rows shown"
    return (
        Intervals.of("What each part did", "points of the chance to return", points_each, reference=0.0),
        Lines("The true chance to return", "day", label, lines(False)),
        Lines("Rows of items that arrived during the rehearsal", "day", share, lines(True)),
    )


def outcome(arm: str, diary: dict[str, Any]) -> dict[str, Any]:
    """One world in numbers."""
    visits = diary["visits"]
    shown = max(1, sum(visit["shown"] for visit in visits))
    return {
        "world": arm,
        "lists": len(visits),
        "true chance to return": round(float(np.mean([visit["returning"] for visit in visits])), 4),
        "rows of new items": f"{sum(visit['new'] for visit in visits) / shown:.1%}",
        "rows of pushed items": f"{sum(visit['targets'] for visit in visits) / shown:.2%}",
        **talk_figures(diary),
        "plays a list": round(sum(visit["plays"] for visit in visits) / max(1, len(visits)), 3),
        "alarms": sum(night["what"] == "alarm" for night in diary["nights"]),
        "refused requests": diary["errors"],
    }


def talk_figures(diary: dict[str, Any]) -> dict[str, Any]:
    """The conversations of a world in numbers."""
    talks = diary["talks"]
    answered = [talk["returning"] for talk in talks if talk["shown"]]
    return {
        "conversations": len(talks),
        "that showed items": f"{len(answered) / max(1, len(talks)):.0%}",
        "chance to return after them": round(float(np.mean(answered)), 4) if answered else None,
    }


def nights(arm: str, diary: dict[str, Any]) -> list[dict[str, Any]]:
    """What certificates, proxies and tests said, in words."""
    rows = []
    for night in diary["nights"]:
        words = {
            key: value
            for key, value in night.items()
            if key not in ("day", "what", "deployment", "new", "taken down")
        }
        if night["what"] != "catalogue":
            rows.append(
                {
                    "world": arm,
                    "day": night["day"] + 1,
                    "what": night["what"],
                    "said": ", ".join(f"{key}: {value}" for key, value in words.items())[:200],
                }
            )
    return rows


def by_person(diary: dict[str, Any], what: str = "returning") -> dict[str, float]:
    """Each person's mean of a field of `Visit` over their lists: by default the true chance to return."""
    sums: dict[str, list[float]] = {}
    for visit in diary["visits"]:
        sums.setdefault(visit["person"], []).append(visit[what])
    return {person: float(np.mean(values)) for person, values in sums.items()}


def differences(diary: dict[str, Any], base: dict[str, Any], what: str = "returning") -> Floats:
    """The difference of each person who came in both worlds, in what their lists were like."""
    first, second = by_person(diary, what), by_person(base, what)
    return np.array([first[person] - second[person] for person in sorted(first.keys() & second.keys())])


def mean_of(crowds: Sequence[Floats], seed: int) -> Interval:
    """The mean over crowds of people's mean difference, with an interval by resampling people within each."""
    means = np.zeros(DRAWS)
    for place, values in enumerate(crowds):
        draws = generator(seed, "resample", *[place][:place]).integers(0, len(values), (DRAWS, len(values)))
        means += values[draws].mean(axis=1) / len(crowds)
    low, high = np.quantile(means, (0.025, 0.975))
    value = float(np.mean([values.mean() for values in crowds]))
    return Interval(value, float(low), float(high), sum(map(len, crowds)))


def daily(diary: dict[str, Any], days: int, new: bool = False) -> tuple[float, ...]:
    """(days,) the mean true chance to return of the day's lists, or the share of rows that are new items."""
    sums, counts = np.zeros(days), np.zeros(days)
    for visit in diary["visits"]:
        sums[visit["day"]] += visit["new"] if new else visit["returning"]
        counts[visit["day"]] += visit["shown"] if new else 1
    return tuple((sums / np.maximum(counts, 1)).tolist())


def scaled(effect: Interval) -> Interval:
    """In points of a hundred."""
    return Interval(100 * effect.value, 100 * effect.low, 100 * effect.high, effect.n)


def points(effect: Interval) -> str:
    """An effect in words."""
    return f"{100 * effect.value:+.2f} points [{100 * effect.low:+.2f}, {100 * effect.high:+.2f}]"
