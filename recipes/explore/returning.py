"""What persons who return do to a certificate, an alarm and the bank: false ones at delta = .05, and what
betting on persons costs beside a bet on rows, which is wrong here.

    python -m recipes.explore.returning
    python -m recipes.explore.returning --quick

The world has 40 actions whose values are known. Each person likes what the candidate plays more, or less,
than others
do: chances are multiplied by exp(+-sd taste - sd^2/2), so that the value of every policy stays what it was.
10,000 rows, of which S3 has 30 %; the candidate is worth .949 V0 and the promise is .95 V0, so that every
certificate is false. Contributions are drawn directly; the first runs of each cell go through `certify` as
well, and must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from recipes.common import Journal, command, parser, read_arguments, show_table
from recipes.explore.draws import rate
from tastemaker.explore.bounds import LEAST_UNITS, Units
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.ledger.ledger import Entry, Ledger, bank, settle
from tastemaker.explore.ledger.watch import watch
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, Split
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]

ACTIONS, ROWS, C, DELTA = 40, 10_000, 0.95, 0.05
PEOPLE = ((10_000, 1), (1_000, 10), (200, 50), (100, 100), (40, 250))
TASTES = (0.0, 0.4, 0.8)
VALUES = (0.949, 1.2, 1.5, 2.0)  # V(pi) / V0: the first is a false certificate, the others are right ones
CHECKED = 3  # runs a cell that go through `certify`


@dataclass(frozen=True)
class World:
    """q (A,) chances of a reward; pi0 (A,) the logger."""

    q: Floats
    pi0: Floats

    @classmethod
    def drawn(cls) -> World:
        """The one world of this recipe."""
        draws = np.random.default_rng(123)
        q = np.clip(0.05 + 0.6 * draws.beta(1.5, 5, ACTIONS), 0, 1)
        raised = np.exp(draws.normal(size=ACTIONS) * 0.5)
        return cls(q, raised / raised.sum())

    def candidate(self, value: float) -> Floats:
        """(A,) a policy worth `value` V0: pi0 along a fixed direction, tilted by log q as far as it takes."""
        direction = np.random.default_rng(7).normal(size=ACTIONS) * 0.8
        slope = np.log(self.q) - np.log(self.q).mean()

        def tilted(b: float) -> Floats:
            raised = self.pi0 * np.exp(direction + b * slope)
            return np.asarray(raised / raised.sum())

        v0 = float(self.pi0 @ self.q)
        return tilted(brentq(lambda b: tilted(b) @ self.q / v0 - value, -30, 30))


def played(
    world: World, pi: Floats, people: tuple[int, int], sd: float, draws: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]:
    """action, reward, user (n,) of rows that pi0 logged."""
    users, rows = people
    user = np.repeat(np.arange(users), rows)
    action = np.searchsorted(np.cumsum(world.pi0), draws.random(len(user))).clip(0, ACTIONS - 1)
    side = np.where(pi > world.pi0, 1.0, -1.0)[action]
    chance = world.q[action] * np.exp(sd * draws.normal(size=users)[user] * side - sd**2 / 2)
    return action, (draws.random(len(user)) < np.clip(chance, 0, 1)) * 1.0, user


def certified(
    world: World, value: float, people: tuple[int, int], sd: float, run: int, check: bool
) -> dict[str, bool]:
    """Whether a bet on persons, and one on rows, certifies the candidate."""
    pi, draws = world.candidate(value), generator(run, "returning", f"{value} {people} {sd}")
    users = round(people[0] * 0.3)
    action, reward, user = played(world, pi, (users, people[1]), sd, draws)
    weight = (pi / world.pi0)[action]
    goal, outcome = -np.log(DELTA), {}
    for name, units in (("persons", Units("user", user, users)), ("rows", Units.rows(len(user)))):
        both = [(units.sums((weight - c) * reward), c) for c in (C, 0.9)]
        outcome[name] = all(sums.log_wealth(0.0, -c) >= goal for sums, c in both)
    outcome["persons"] &= users >= LEAST_UNITS
    if check:
        names, ids = user.astype(str), [f"a{number}" for number in range(ACTIONS)]
        log = Log(np.zeros((len(user), 1)), action, reward, world.pi0[action], ids, user=names)
        policy = TablePolicy(pi[None, :])
        for unit, name in (("user", "persons"), ("row", "rows")):
            gate = certify([policy], Split(log, log, log, "split"), GateSettings(unit=unit))
            assert gate[0].passed == outcome[name], (people, sd, run, unit)
    return outcome


def alarmed(people: tuple[int, int], sd: float, run: int) -> dict[str, bool]:
    """Whether a stream whose mean is exactly at the floor gives an alarm; visits in random order."""
    users, rows = people
    draws, least = generator(run, "alarm", f"{people} {sd}"), 0.1
    user = draws.permutation(np.repeat(np.arange(users), rows))
    taste = np.exp(sd * draws.normal(size=users) - sd**2 / 2)
    reward = (draws.random(len(user)) < np.clip(least * taste[user], 0, 1)) * 1.0
    return {
        "persons": watch(reward, least, DELTA, units=Units("user", user, users)) is not None,
        "rows": watch(reward, least, DELTA) is not None,
    }


def overstated(world: World, people: tuple[int, int], sd: float, run: int) -> dict[str, bool]:
    """Whether the bank ever says that a policy worth exactly c V0 has earned something, in four stretches in
    which the same persons return.
    """
    users, rows = people
    stretch, pi = max(rows // 4, 1), world.candidate(C)
    draws = generator(run, "bank", f"{people} {sd}")
    mixed = 0.95 * pi + 0.05 * world.pi0
    taste, side = draws.normal(size=users), np.where(pi > world.pi0, 1.0, -1.0)
    empty = Ledger(c=C, delta=2 * DELTA, cap=5.0, share=1.0)
    books = dict.fromkeys(("persons", "rows"), empty.plus(Entry("deployed", "p", rounds=10**9)))
    alarms = dict.fromkeys(books, False)
    for part in range(4):
        who = np.repeat(np.arange(users), stretch)
        if rows == 1:
            who = np.array_split(who, 4)[part]  # nobody returns
        action = np.searchsorted(np.cumsum(mixed), draws.random(len(who))).clip(0, ACTIONS - 1)
        chance = world.q[action] * np.exp(sd * taste[who] * side[action] - sd**2 / 2)
        reward = (draws.random(len(who)) < np.clip(chance, 0, 1)) * 1.0
        gains = (pi - C * world.pi0)[action] / mixed[action] * reward
        for name in books:
            people_of = who.astype(str).tolist() if name == "persons" else ()
            books[name] = settle(books[name], "p", gains, len(who), people=people_of)
            alarms[name] |= bank(books[name]).low > 0
    return alarms


def counts(runs: Sequence[dict[str, bool]]) -> dict[str, str]:
    """A rate and its interval for each bet."""
    return {name: rate(sum(run[name] for run in runs), len(runs)) for name in ("persons", "rows")}


def main() -> None:
    """Run every cell and print three tables."""
    arguments = read_arguments(parser(main, "60 runs a cell: inconclusive"), "explore/returning")
    runs, world = 60 if arguments.quick else 2_000, World.drawn()
    journal = Journal(arguments.out, {"recipe": "returning", "seed": arguments.seed, "runs": runs})
    tables: dict[str, list[dict[str, Any]]] = {"gate": [], "alarm": [], "bank": []}

    def cell(key: list[Any]) -> dict[str, Any]:
        kind, users, rows, sd, value = key
        people, first = (users, rows), arguments.seed * runs
        if kind == "gate":
            return counts(
                [certified(world, value, people, sd, first + run, run < CHECKED) for run in range(runs)]
            )
        few = range(first, first + max(runs // 4, 60))
        trial = (lambda run: alarmed(people, sd, run)) if kind == "alarm" else None
        return counts([trial(run) if trial else overstated(world, people, sd, run) for run in few])

    keys = [["gate", *people, sd, value] for people in PEOPLE for sd in TASTES for value in VALUES]
    keys += [[kind, *people, sd, C] for kind in ("alarm", "bank") for people in PEOPLE for sd in (0.0, 0.8)]
    for key, shares in zip(keys, journal.run(keys, cell, "cells"), strict=True):
        kind, users, rows, sd, value = key
        assert isinstance(kind, str)
        head = {"persons x rows": f"{users:,} x {rows}", "sd": f"{sd:g}"}
        head |= {"V/V0": f"{value:g}"} if kind == "gate" else {}
        tables[kind].append(head | {f"by {name}, %": share for name, share in shares.items()})
    note = "A quick run: inconclusive." if arguments.quick else ""
    show_table(arguments.out, tables["gate"], f"Certified at delta .05, {runs:,} runs a row", note)
    few = max(runs // 4, 60)
    show_table(arguments.out, tables["alarm"], f"Alarm although at the floor, {few} runs", note, "alarm")
    show_table(arguments.out, tables["bank"], f"Bank above 0 although worth c V0, {few} runs", note, "bank")


if __name__ == "__main__":
    command(main)
