"""Exploration shared by design against exploration that leaks out of a softmax, at the same share nu of new
items.

    python -m recipes.explore.design_vs_entropy
    python -m recipes.explore.design_vs_entropy --quick

The catalogue world with beta = 8: 200 of 1,000 items are new. A deployment of 10,000 rounds plays new items
with probability nu = .1, shared (a) by the tail of an entropy-regularised softmax, (b) evenly, (c) by
`allocate` (log det of a ridge model of the new items, each at least 3 expected plays). Then: plays of the
worst-off new item, error of that ridge model on new items, and the value of the next deployment, which shows
the best tenth of new items by that model with probability nu.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from recipes.common import Journal, parser, read_arguments, save_figure, show_table
from recipes.explore.catalogue import draw, load_catalogue
from recipes.explore.population import Population
from tastemaker.explore.design import DesignSettings, allocate
from tastemaker.explore.learn.path import PathSettings, learn_path
from tastemaker.explore.learn.softmax import Settings
from tastemaker.explore.policy import TablePolicy
from tastemaker.simulate.bandit import CatalogueWorld
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
BETA, ROWS, NU, LEAST, RIDGE = 8, 10_000, 0.1, 3.0, 5.0
RULES = ("softmax tail", "even", "design")
ENTROPY = 0.1


def explore_by_rules(world: CatalogueWorld, seed: int) -> dict[str, dict[str, float]]:
    """Every rule after one log."""
    draws, names, new = generator(seed, "design"), list(world.world.actions), np.flatnonzero(~world.existing)
    space = Population(world.contexts, world.vectors, world.prefixes)
    logger = TablePolicy(world.logger(BETA), world.prefixes)
    log = draw(world, logger, ROWS, draws, names)
    learner = Settings(steps=100, learning_rate=0.1, bias=0.4, entropy=ENTROPY)
    (trained,) = learn_path(space.rows(log), PathSettings((1.0,), learner=learner), seed)
    old, tail = space.policy(trained, world.existing), space.policy(trained, ~world.existing)
    shares = allocate(
        world.vectors[new],
        NU * ROWS,
        1.0,
        DesignSettings(min_plays=LEAST),
        RIDGE * np.eye(world.vectors.shape[1]),
    )
    table = np.zeros_like(old.probabilities)
    parts = {"softmax tail": tail.probabilities, "even": table.copy(), "design": table.copy()}
    parts["even"][:, new] = 1 / len(new)
    parts["design"][:, new] = shares
    out = {}
    for rule in RULES:
        mixed = TablePolicy((1 - NU) * old.probabilities + NU * parts[rule], world.prefixes)
        played = draw(world, mixed, ROWS, draws, names)
        plays = np.bincount(played.action, minlength=len(names))[new]
        expected = NU * ROWS * parts[rule][:, new].mean(axis=0)
        earned = np.bincount(played.action, weights=played.reward, minlength=len(names))[new]
        rewards = np.asarray(earned, np.float64)
        guess = shrunk(plays, rewards, float(played.reward.mean()), world.vectors[new])
        truth = world.q[:, new].mean(axis=0)
        best = np.argsort(-guess)[: len(new) // 10]
        worth = float((1 - NU) * (old.probabilities * world.q).sum(axis=1).mean() + NU * truth[best].mean())
        base = float((logger.probabilities * world.q).sum(axis=1).mean())
        out[rule] = {
            "fewest": float(expected.min()),
            "unplayed": float((plays == 0).mean()),
            "error": float(np.sqrt(np.mean((guess - truth) ** 2))),
            "now": float((mixed.probabilities * world.q).sum(axis=1).mean() / base),
            "next": worth / base,
        }
    return out


def shrunk(
    plays: npt.NDArray[np.signedinteger[Any]], rewards: Floats, mean: float, vectors: Floats
) -> Floats:
    """Mean reward of each item: a ridge regression on vectors, then the item's own plays against ten plays of
    that prediction.
    """
    root = np.sqrt(plays)[:, None]
    design = np.c_[np.ones(len(vectors)), vectors]
    target = np.where(plays > 0, rewards / np.maximum(plays, 1), mean)
    inside = (design * root).T @ (design * root) + RIDGE * np.diag(np.r_[1e-6, np.ones(vectors.shape[1])])
    fitted = design @ np.linalg.solve(inside, (design * plays[:, None]).T @ target)
    return np.asarray((rewards + 10 * fitted) / (plays + 10))


def main() -> None:
    """Run, print the table, draw it."""
    torch.set_num_threads(1)
    arguments = read_arguments(parser(main, "20 runs: inconclusive"), "explore/design_vs_entropy")
    runs = 20 if arguments.quick else 200
    world = load_catalogue(None, arguments.seed)
    journal = Journal(
        arguments.out, {"recipe": "design", "seed": arguments.seed, "beta": BETA, "nu": NU, "least": LEAST}
    )
    results = journal.run(
        range(runs), lambda run: explore_by_rules(world, arguments.seed * 100_000 + run), "design"
    )
    columns = {
        "fewest": "fewest expected plays of a new item",
        "unplayed": "new items never played",
        "error": "error of the reward model on new items",
        "now": "V/V0 while exploring",
        "next": "V/V0 of the next deployment",
    }
    values: dict[str, dict[str, Floats]] = {
        rule: {name: np.array([run[rule][name] for run in results]) for name in columns} for rule in RULES
    }
    rows: list[dict[str, Any]] = [
        {"rule": rule} | {text: mean(values[rule][name]) for name, text in columns.items()} for rule in RULES
    ]
    note = f"{runs} runs, means with 95 % intervals; nu = {NU:g} in every rule." + (
        " A quick run: inconclusive." if arguments.quick else ""
    )
    show_table(arguments.out, rows, "Sharing exploration among 200 new items", note)
    save_figure(arguments.out, panels(values, columns))


def mean(runs: Floats) -> str:
    """Mean with its 95 % interval."""
    return f"{runs.mean():.4f} ± {1.96 * runs.std(ddof=1) / np.sqrt(len(runs)):.4f}"


def panels(values: dict[str, dict[str, Floats]], columns: dict[str, str]) -> Figure:
    """One panel a column of the table."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    colours = ("#999999", "#e69f00", "#0072b2")
    for axes, name in zip(figure.subplots(1, 4), ("fewest", "unplayed", "error", "next"), strict=True):
        means = [values[rule][name].mean() for rule in RULES]
        bars = [1.96 * values[rule][name].std(ddof=1) / np.sqrt(len(values[rule][name])) for rule in RULES]
        axes.bar(RULES, means, yerr=bars, color=colours, capsize=3, width=0.6)
        axes.set_title(columns[name], fontsize=9)
        low = min(means) - 6 * max(bars) if name == "next" else 0.0
        axes.set(ylim=(low, None))
        axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
