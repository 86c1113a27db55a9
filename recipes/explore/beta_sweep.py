"""Safe OPG and DEPSUE, as published and certified, against the logger's quality beta.

    python -m recipes.explore.beta_sweep
    python -m recipes.explore.beta_sweep --quick
    python -m recipes.explore.beta_sweep --data FOLDER --variant worse

World: 1,000 Beauty items (800 existing, 200 new), 100 users, Bernoulli rewards, pi0 proportional to exp(beta
q) on existing items; a log of 10,000 rows, then 10,000 live rounds shared among a method's K deployments. V0
is the logger's value, C = .95 V0.
Stop it and start it again: finished runs are kept, and betas take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recipes.common import Journal, command, parser, read_arguments
from recipes.explore.bandit import SHIFTS, CatalogueSettings, CatalogueWorld
from recipes.explore.beta_report import report
from recipes.explore.catalogue import draw, load_catalogue
from recipes.explore.loop import Loop, depsue
from recipes.explore.population import Floats, Population, imitate, judge_path
from recipes.explore.published import (
    GAPS,
    PaperPolicy,
    PaperSettings,
    Plan,
    depsue_paper,
    halves,
    safe_opg_paper,
)
from tastemaker.explore.gate.certify import GateSettings, Support
from tastemaker.explore.learn.path import Outcome, PathSettings, learn_path
from tastemaker.explore.learn.softmax import Name, Settings
from tastemaker.explore.learn.space import Rows, Weights
from tastemaker.explore.ledger.ledger import Ledger
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, split
from tastemaker.stats.random import generator

BETAS, ROWS, C, CAP, COUNTS = (-24, -16, -8, 0, 8, 16, 24), 10_000, 0.95, 2.0, (2, 3, 4, 5)
LEARNER = Settings(steps=60, learning_rate=0.1, bias=0.4, entropy=0.1)
PAPER = PaperSettings(learner=LEARNER)
LATER = PaperSettings(learner=replace(LEARNER, steps=20))
PATH = PathSettings(lambdas=(3.0, 1.0, 0.3), learner=replace(LEARNER, steps=30))
Results = dict[str, list[list[float]]]


class Run:
    """One log of one logger, and every method on it. Outcomes: per deployment, V/V0 and novelty."""

    def __init__(self, world: CatalogueWorld, beta: int, seed: int) -> None:
        self.world, self.key = world, f"beta {beta} run {seed}"
        self.draws = generator(seed, "beta sweep", beta)
        self.space = Population(world.vectors, world.prefixes, contexts=world.contexts)
        self.names = list(world.world.actions)
        self.logger = TablePolicy(world.logger(beta), world.prefixes)
        self.base = self.value(self.logger)
        self.log = self.serve(self.logger, ROWS, 0)
        self.rows = self.space.rows(self.log)
        self.out: Results = {}

    def value(self, policy: Policy) -> float:
        assert isinstance(policy, TablePolicy)
        return float((policy.probabilities * self.world.q).sum(axis=1).mean())

    def score(self, policies: Sequence[Policy]) -> list[list[float]]:
        """[V/V0, novelty] of each deployment."""
        every, new = np.arange(len(self.world.contexts))[:, None] * 1.0, ~self.world.existing
        return [
            [self.value(policy) / self.base, float(policy.mass(every, new).mean())] for policy in policies
        ]

    def serve(self, policy: TablePolicy, rounds: int, k: int) -> Log:
        return draw(self.world, policy, rounds, self.draws, self.names)

    def policy(self, weights: Weights | None) -> TablePolicy:
        return self.logger if weights is None else self.space.policy(weights)

    def unsafe(self) -> None:
        objectives: dict[str, Name] = {"OPG": "ips", "OPG+CQL": "cql"}
        for name, objective in objectives.items():
            settings = PathSettings((0.0,), objective=objective, learner=LEARNER)
            self.out[name] = self.score([self.policy(learn_path(self.rows, settings, self.key)[0])])

    def paper(self, start: Weights) -> None:
        target = C * float(self.rows.reward.mean())
        s1, s2 = halves(self.rows, self.key)
        first = safe_opg_paper(s1, s2, target, PAPER, self.key, start)
        self.out["Safe OPG"] = self.score([self.policy(first.weights)])
        self.ceiling(first)

        def deploy(weights: Weights | None, rounds: int, k: int) -> Rows:
            return self.space.rows(self.serve(self.policy(weights), rounds, k))

        def probability(rows: Rows) -> Floats:
            return self.logger.probabilities[rows.context, rows.action]

        for count in COUNTS:
            plan = Plan(count, ROWS, target, LATER)
            deployments = depsue_paper(self.rows, probability, deploy, plan, self.key, first)
            self.out[f"DEPSUE K={count}"] = self.score(
                [self.policy(deployment.policy.weights) for deployment in deployments]
            )

    def ceiling(self, outcome: PaperPolicy) -> None:
        """Novelty of a passing Safe OPG policy beside its ceiling 1 - (C + width)/V(pi_A), V(pi_A) as
        estimated on S2.
        """
        if outcome.weights is not None:
            nu = self.out["Safe OPG"][0][1]
            self.out["ceiling"] = [[nu, 1 - (outcome.threshold + outcome.width) * (1 - nu) / outcome.mean]]

    def certified(self, start: Weights) -> None:
        parts = split(self.log, PATH.parts, self.key)
        trained = learn_path(self.space.rows(parts.learn), PATH, self.key, start)
        known = self.world.existing

        def judged(gate: GateSettings) -> Outcome:
            return judge_path(trained, parts, self.space, known, gate, PATH.shares)

        supports: tuple[Support, ...] = ("logged", "prefix")
        for support in supports:
            outcome = judged(GateSettings(C, 0.05, support=support))
            best = self.logger if outcome.passed is None else outcome.policies[outcome.passed]
            self.out[f"certified Safe OPG ({support})"] = self.score([best])
        loop = Loop(self.logger, self.serve, self.space, known)
        for count in COUNTS:
            ledger = Ledger(c=C, K=count, cap=CAP)
            rounds, _ = depsue(self.log, loop, ROWS, ledger, PATH, self.key, judged)
            served = [self.logger if each.serving is None else each.serving for each in rounds]
            self.out[f"certified DEPSUE K={count}"] = self.score(served)
            self.out[f"admitted K={count}"] = [
                [float(each.admitted), each.margin / self.base] for each in rounds
            ]


def run_all(world: CatalogueWorld, beta: int, seed: int) -> Results:
    """Every method on one log."""
    run = Run(world, beta, seed)
    run.unsafe()
    start = imitate(run.space.rows(run.log.take(np.arange(ROWS // 2))), LEARNER, run.key)
    run.paper(start)
    run.certified(start)
    return {name: [[round(number, 5) for number in row] for row in rows] for name, rows in run.out.items()}


def main() -> None:
    """Run, print the table, draw three panels."""
    options = parser(main, "3 betas, 20 runs: inconclusive")
    options.add_argument(
        "--data", type=Path, help="folder with items.parquet and interactions.parquet instead of Beauty"
    )
    options.add_argument(
        "--variant", choices=list(SHIFTS), default="same", help="are new items as good as the others?"
    )
    options.add_argument("--runs", type=int, default=200, help="runs a beta")
    arguments = read_arguments(options, "explore/beta_sweep")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    betas, runs = ((-16, 0, 16), 20) if arguments.quick else (BETAS, arguments.runs)
    world = load_catalogue(arguments.data, arguments.seed, CatalogueSettings(variant=arguments.variant))
    settings = {
        "recipe": "beta_sweep",
        "seed": arguments.seed,
        "variant": arguments.variant,
        "paper": PAPER,
        "path": PATH,
    }
    journal = Journal(
        arguments.out, settings | {"data": str(arguments.data or "amazon-beauty-2014"), "gaps": GAPS}
    )
    keys = [[beta, run] for run in range(runs) for beta in betas]
    outcomes = journal.run(
        keys, lambda key: run_all(world, key[0], arguments.seed * 100_000 + key[1]), "beta sweep"
    )
    report(arguments.out, betas, keys, outcomes, GAPS, arguments.quick)


if __name__ == "__main__":
    command(main)
