"""What a policy learnt from the server's own log is truly worth, beside the logger and beside one that is not
told how the logger ranked.

The crowd of `tastemaker rehearse` (world "item") uses a copy of a trained workspace over HTTP for some days,
lists drawn at exploration 0.5. For every key the log is split as `tastemaker explore learn` splits it, and
learnt twice: as a correction of the logger's logits (the default), and without them, from first places alone,
as before they were kept. A policy's worth is the true chance, known to the simulation, that what it shows
first is played; the logger's is beside it, and so are a draw by chance and the best of each pool.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from recipes.common import Journal, command, parser, read_arguments
from tastemaker.cli.progress import progress
from tastemaker.explore.gate.certify import GateSettings
from tastemaker.explore.learn.path import PathSettings, bases, learn_path
from tastemaker.explore.learn.space import Features
from tastemaker.explore.ledger.ledger import Ledger
from tastemaker.explore.policy.base import Policy, Pooled, Pools
from tastemaker.explore.policy.softmax import uniform_policy
from tastemaker.explore.table import Log, split
from tastemaker.flows.explore.estimates import all_places
from tastemaker.flows.explore.runs import PARTS
from tastemaker.flows.explore.tables import BEGINNING, Loaded, Source, load
from tastemaker.rehearse.crowd import Crowd, CrowdSettings
from tastemaker.rehearse.rehearse import RehearsalSettings, prepare
from tastemaker.rehearse.rehearse import split as tables
from tastemaker.rehearse.town import Schedule, Town
from tastemaker.store import Workspace, write_json

NAME = "served"
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Live the days, learn for every key, and print what each policy is worth."""
    options = parser(main, "30 people, 3 days, one key")
    options.add_argument("-w", "--workspace", type=Path, required=True, help="trained, such as the demo's")
    options.add_argument("--people", type=int, default=150, help="people of the crowd")
    options.add_argument("--days", type=int, default=6, help="days that they live")
    options.add_argument("--keys", type=int, default=5, help="splits of the log")
    arguments = read_arguments(options, NAME)
    if arguments.quick:
        arguments.people, arguments.days, arguments.keys = 30, 3, 1
    settings = RehearsalSettings(
        people=arguments.people, seed=arguments.seed, schedule=Schedule(days=arguments.days, night=999)
    )
    catalogue = tables(Workspace.open(arguments.workspace), settings)
    of = catalogue.items, catalogue.interactions, arguments.people, arguments.seed
    crowd = Crowd(*of, CrowdSettings())
    shown = {name: getattr(arguments, name) for name in ("people", "days", "seed")}
    journal = Journal(arguments.out, shown | {"workspace": str(arguments.workspace.resolve())})
    with TemporaryDirectory() as scratch, progress(False) as report:
        folder = Path(scratch) / "town"
        prepare(arguments.workspace, folder, catalogue)
        Town(folder, crowd, catalogue, frozenset({"exploration"}), settings.schedule).live(
            NAME, lambda done, total, note: report("days", done, total, note)
        )
        loaded = load(Source(workspace=folder, since=BEGINNING))
        truth = wanted(crowd, loaded, arguments.days)
        log = loaded.log
        known = {
            "rows": len(log),
            "chance": value(Pooled(uniform_policy(log.n_actions)), log, truth),
            "logger": value(Pooled(uniform_policy(log.n_actions), anchor=1.0), log, truth),
            "best of the pool": float(truth.max(axis=1).mean()),
        }
        rows = journal.run(range(arguments.keys), lambda key: learnt(loaded, truth, str(key)), "learning")
        shutil.rmtree(folder)
    write_json(arguments.out / "table.json", {"known": known, "learnt": rows})
    print(f"{known.pop('rows')} lists; the true chance that the first item is played:")
    for name, worth in known.items():
        print(f"  {name:42} {worth:.4f}")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        print(f"  {name:42} {values.mean():.4f}  [{values.min():.4f}, {values.max():.4f}] over keys")


def wanted(crowd: Crowd, loaded: Loaded, day: int) -> Floats:
    """(n, m) true chance that the person of each row plays each item of its pool, were it shown; 0 behind the
    last.
    """
    pool, users = loaded.log.pool, loaded.log.user
    assert pool is not None and users is not None
    truth = np.zeros(pool.items.shape)
    for row, column in zip(*np.nonzero(pool.items >= 0), strict=True):
        truth[row, column] = crowd.wanted(str(users[row]), loaded.catalogue.ids[pool.items[row, column]], day)
    return truth


def value(policy: Policy, log: Log, truth: Floats) -> float:
    """Mean true worth of what a policy shows first."""
    assert log.pool is not None
    played = policy.within(log.pool)
    logs = [
        np.where(column >= 0, played.log_prob(log.context, np.maximum(column, 0)), -np.inf)
        for column in log.pool.items.T
    ]
    return float((np.exp(np.stack(logs, axis=1)) * truth).sum(axis=1).mean())


def learnt(loaded: Loaded, truth: Floats, key: str) -> dict[str, Any]:
    """What is learnt on half of the people and chosen on a fifth: true worth, by way of learning."""
    gate = GateSettings(cap=Ledger.cap)
    parts = split(loaded.log, PARTS, key)
    space = Features(loaded.vectors, loaded.prefixes, True)
    worth = dict[str, float]()
    ways = {
        "learnt": (all_places(loaded, parts.learn), "dr"),
        "learnt, logits and lower places not told": (_blind(parts.learn), "clipped_ips"),
    }
    for name, (rows, objective) in ways.items():
        path = learn_path(space.rows(rows), PathSettings(objective=objective), key)  # type: ignore[arg-type]
        chosen = bases(path, parts.choose, space, loaded.existing, gate)
        values = [value(space.policy(point), loaded.log, truth) for point in path]
        worth |= {name: values[chosen[0]], f"{name}: last of the path": values[-1]}
    return worth


def _blind(log: Log) -> Log:
    assert log.pool is not None
    return replace(log, pool=Pools(log.pool.items))


if __name__ == "__main__":
    command(main)
