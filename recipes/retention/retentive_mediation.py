"""Three worlds with the same AUC table and three different reasons: can the tests tell item, user and state
apart?

Part 1: the AUC tables and the verdicts. Part 2: 400 `user` worlds: how often the within-user interval covers
0. Part 3: randomised exposure (20,000 user-days, 300 items, uniform, one slot): 2,000 runs in `user` and
`state`, 200 in `item`; beside it what goes wrong when an item's mean leaves out only the user at hand. Part
4: `tune` brings a world whose loadings were moved by 20 % back to the published numbers, and fresh draws say
what of that is noise. The claim reports are in `report-item/`, `report-user/`, `report-state/`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import binom

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.retentive_increment import world_rows
from recipes.retention.tuning import TARGETS, measure, missed, tune
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.mediation.verdict import claim, mediation_tests
from tastemaker.retention.mediation.within import MediationSettings, dealt_effect, item_means
from tastemaker.simulate.retention import (
    PATHS,
    ListenerWorld,
    by_cohort,
    cuts,
    draw_slates,
    item_quality,
    retention_latent,
    return_logit,
)
from tastemaker.stats.random import generator

NAME = "retentive_mediation"
CONTROLS = ("history", "sameday", "like", "save", "reshare")
ITEMS, USERS, DAYS, BATCH = 300, 10_000, 2, 100
DRAWS = 4  # times that each world is tuned
Z = 1.959964


def main() -> None:
    """Run every part, show."""
    options = parser(main, "40 instead of 400 worlds and 100 instead of 2,000 runs, and no tuning")
    options.add_argument("--world", default=None, choices=PATHS, help="only this world's table and verdict")
    arguments = read_arguments(options, NAME)
    seed, quick = arguments.seed, arguments.quick
    journal = Journal(arguments.out, {"seed": seed, "quick": quick})
    worlds = [arguments.world] if arguments.world else list(PATHS)

    def verdict(path: str) -> dict[str, Any]:
        table = world_rows_of(path, seed)
        settings = MediationSettings(controls=CONTROLS)
        tested = mediation_tests(table, draw_slates(table, ITEMS), settings=settings, key=seed)
        alone = mediation_tests(table, settings=settings, key=seed)
        once = mediation_tests(table.filter(np.asarray(table["day"]) == 0), settings=settings, key=seed)
        write_claim(claim(tested), arguments.out / f"report-{path}")
        measured = measure(ListenerWorld.of(path, listeners=60_000), seed)
        estimates = {
            name: [item.value, item.low, item.high]
            for name in ("within", "between", "conditional", "exposure")
            if (item := getattr(tested, name)) is not None
        }
        return {
            "verdict": tested.verdict,
            "without slates": alone.verdict,
            "one answer each": once.verdict,
            "measured": measured,
            "missed": list(missed(measured, TARGETS)),
            "reliability": tested.reliability,
            **estimates,
        }

    verdicts = dict(zip(worlds, journal.run(worlds, verdict, "verdicts"), strict=True))
    show_verdicts(arguments, verdicts)
    if arguments.world:
        return
    batches = 40 // 20 if quick else 400 // 20
    covered = journal.run(
        [["within", part] for part in range(batches)],
        lambda key: within_worlds(seed, key[1]),
        "400 user worlds",
    )
    runs = {"user": 100 if quick else 2_000, "state": 100 if quick else 2_000, "item": 100 if quick else 200}
    keys = [[path, part] for path, count in runs.items() for part in range(count // BATCH)]
    dealt = journal.run(keys, lambda key: exposure_runs(key[0], seed, key[1]), "randomised exposure")
    show_rates(arguments, keys, dealt, covered)
    if not quick:
        keys = [["tune", path, place] for place in range(DRAWS) for path in PATHS]
        show_tuning(arguments, keys, journal.run(keys, lambda key: tuning(key[1], seed, key[2]), "tuning"))


def world_rows_of(path: str, seed: int) -> Any:
    """20,000 listeners, two days, 300 items."""
    from tastemaker.simulate.retention import ask, draw_listeners, draw_pairs, returns

    world = ListenerWorld.of(path, listeners=20_000, items=ITEMS)
    return returns(world, ask(world, draw_pairs(world, draw_listeners(world, seed), seed), seed), seed)


def within_worlds(seed: int, part: int) -> list[list[float]]:
    """Within-user estimate and interval of 20 `user` worlds of 3,000 listeners."""
    out = []
    for place in range(20):
        table = world_rows("user", 3_000, f"{seed} within {part} {place}")  # type: ignore[arg-type]
        tested = mediation_tests(table, settings=MediationSettings(controls=CONTROLS))
        assert tested.within is not None
        out.append([tested.within.value, tested.within.low, tested.within.high])
    return out


def exposure_runs(path: str, seed: int, part: int) -> dict[str, list[float]]:
    """z of the exposure slope in a batch of runs: item means from the other half of users, and from everybody
    but the user.
    """
    world = ListenerWorld.of(path, listeners=USERS, items=ITEMS)
    z: dict[str, list[float]] = {"split": [], "leave one out": []}
    users = np.repeat(np.arange(USERS), DAYS)
    expected = np.zeros(len(users))
    for place in range(BATCH):
        answer, returned, item, history = draw(world, users, generator(seed, "exposure", path, part, place))
        teaches = users % 2 == 0
        means, _ = item_means(answer, item, teaches, ITEMS)
        half = ~teaches
        slope, error = dealt_effect(
            returned[half],
            users[half] // 2,
            means[item[half]],
            expected[half] + means.mean(),
            history[half, None],
        )
        z["split"].append(slope / error)
        others = leave_one_out(answer, item, users)
        slope, error = dealt_effect(returned, users, others, expected + others.mean(), history[:, None])
        z["leave one out"].append(slope / error)
    return z


def draw(world: ListenerWorld, users: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    """Answers, returns, items and what the log knows of the user, of every user-day: the world without its
    tables.
    """
    n, count = len(users), world.listeners
    item = rng.integers(0, world.items, n)
    low = (rng.random(count) < world.low_share)[users]
    base = by_cohort(world.base, low) + by_cohort(world.spread, low) * rng.normal(size=count)[users]
    history = base + by_cohort(world.history_noise, low) * rng.normal(size=count)[users]
    quality = item_quality(world, int(rng.integers(1 << 40)))[item]
    latent = retention_latent(world, quality, rng.normal(size=count)[users], rng.normal(size=n), rng)
    rest = np.sqrt(1 - world.return_value**2 - world.return_quality**2)
    feeling = (
        world.return_value * rng.normal(size=n) + world.return_quality * latent + rest * rng.normal(size=n)
    )
    answer = 1.0 + np.searchsorted(cuts(world), feeling)
    logit = return_logit(world, base, latent, rng.normal(size=n), low.astype(float), np.zeros(n))
    return answer, (rng.random(n) < expit(logit)).astype(float), item, history


def leave_one_out(answer: Any, item: Any, users: Any) -> Any:
    """Mean answer to the item over everybody but the user of the row."""
    pair = users * ITEMS + item
    own = np.unique(pair, return_inverse=True)[1]
    total, count = np.bincount(item, answer, ITEMS)[item], np.bincount(item, minlength=ITEMS)[item]
    part, times = np.bincount(own, answer)[own], np.bincount(own)[own]
    return (total - part) / np.maximum(count - times, 1)


def tuning(path: str, seed: int, place: int) -> dict[str, Any]:
    """A world whose loadings were moved by up to 20 % either way, before and after `tune`, and what a fresh
    draw measures.

    A world is tuned to one draw, noise included. coarse: to a draw of 30,000 listeners. fine: from there on
    to one of 120,000.
    """
    key = f"{seed} tune {place}"
    world = ListenerWorld.of(path, listeners=30_000)
    signs = np.where(generator(seed, "perturb", path, place).random(7) < 0.5, 0.8, 1.2)
    worth = tuple(min(0.99, v * s) for v, s in zip(world.worth_value, signs[2:4], strict=True))
    interest = tuple(min(0.9, v * s) for v, s in zip(world.interest_value, signs[4:6], strict=True))
    moved = replace(
        world,
        return_value=world.return_value * min(1.0, signs[0]),
        return_quality=world.return_quality * min(1.05, signs[1]),
        worth_value=worth,
        interest_value=interest,
        interest_quality=world.interest_quality * signs[6],
    )
    coarse = tune(moved, key=key)
    fine = tune(replace(coarse.world, listeners=120_000), key=f"{key} fine", rounds=2)
    fresh = [measure(replace(part.world, listeners=120_000), f"{key} fresh") for part in (coarse, fine)]
    return {
        "before": list(missed(measure(moved, key), TARGETS)),
        "own": [list(coarse.missed), list(fine.missed)],
        "fresh": [{name: item[name] - value for name, (value, _) in TARGETS.items()} for item in fresh],
    }


def show_verdicts(arguments: Any, verdicts: dict[str, Any]) -> None:
    """The same table three times, and three verdicts."""
    rows = []
    for path, verdict in verdicts.items():
        at = verdict["measured"]
        auc = {
            name: f"{at[f'auc_{name}']:.3f} / {at[f'auc_{name}_low']:.3f}"
            for name in ("baseline", "return", "worth", "interest")
        }
        row = {"world": path} | {f"AUC {name}": value for name, value in auc.items()}
        for name in ("within", "between", "conditional", "exposure"):
            value, low, high = verdict[name]
            row[name] = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
        row |= {
            "verdict": verdict["verdict"],
            "without slates": verdict["without slates"],
            "one answer each": verdict["one answer each"],
        }
        rows.append(row | {"targets missed": len(verdict["missed"])})
    note = (
        "AUC: all / low-signal rows. within, between, conditional: log-odds a point of answer; exposure:"
        " probability a point."
    )
    show_table(arguments.out, rows, "Three worlds, one AUC table, three verdicts", note)
    if len(verdicts) == len(PATHS):
        save_figure(arguments.out, picture(verdicts))


def show_rates(arguments: Any, keys: list[Any], dealt: list[Any], covered: list[Any]) -> None:
    """How often each test errs, against its binomial limit."""
    intervals = np.array([item for batch in covered for item in batch])
    wrong = int(((intervals[:, 1] > 0) | (intervals[:, 2] < 0)).sum())
    rows = [rate("within user, interval misses 0", "user", wrong, len(intervals), True)]
    for path in PATHS:
        for name in ("split", "leave one out"):
            z = np.array(
                [v for key, batch in zip(keys, dealt, strict=True) if key[0] == path for v in batch[name]]
            )
            label = {
                "split": "exposure, means of other users",
                "leave one out": "exposure, all but the user (wrong)",
            }[name]
            rows.append(
                rate(label, path, int((np.abs(z) > Z).sum()), len(z), path != "item" and name == "split")
            )
    show_table(
        arguments.out, rows, "How often a two-sided 5 % test finds something", "item: power.", name="rates"
    )


def rate(test: str, world: str, hits: int, runs: int, judged: bool) -> dict[str, Any]:
    """One row; the limit is the 99 % point of a binomial with probability .05."""
    limit = int(binom.ppf(0.99, runs, 0.05))
    row: dict[str, Any] = {"test": test, "world": world, "runs": runs, "found": f"{100 * hits / runs:.1f} %"}
    if judged:
        row |= {"99 % limit": f"{100 * limit / runs:.1f} %", "kept": "yes" if hits <= limit else "no"}
    return row


def show_tuning(arguments: Any, keys: list[Any], tuned: list[Any]) -> None:
    """Targets missed before, after, and in a fresh draw, over draws: noise of the draw that was tuned to, or
    bias?
    """
    rows = []
    for path in PATHS:
        ones = [item for key, item in zip(keys, tuned, strict=True) if key[1] == path]
        for step, listeners in enumerate((30_000, 120_000)):
            off = {name: np.array([item["fresh"][step][name] for item in ones]) for name in TARGETS}
            missing = {name: int((np.abs(values) > TARGETS[name][1]).sum()) for name, values in off.items()}
            mean = {name: values.mean() / TARGETS[name][1] for name, values in off.items()}
            worst = max(mean, key=lambda name: abs(mean[name]))
            low = [values for name, values in off.items() if name.endswith("_low")]
            rows.append(
                {
                    "world": path,
                    "tuned to, listeners": f"{listeners:,}",
                    "draws": len(ones),
                    "missed before": (
                        f"{np.mean([len(item['before']) for item in ones]):.1f} of {len(TARGETS)}"
                    ),
                    "missed in its own draw": sum(len(item["own"][step]) for item in ones),
                    "missed in a fresh draw": f"{sum(missing.values())} of {len(ones) * len(TARGETS)}",
                    "which": (
                        ", ".join(f"{name} {count}" for name, count in missing.items() if count) or "none"
                    ),
                    "largest mean deviation, in tolerances": f"{worst} {mean[worst]:+.2f}",
                    "SD of low-signal AUCs": f"{np.mean([np.std(values, ddof=1) for values in low]):.4f}",
                }
            )
    note = (
        "A fresh draw has 120,000 listeners of its own. Tolerances: AUC .010, correlations .02, mutual"
        " information .005."
    )
    show_table(
        arguments.out,
        rows,
        "Loadings moved by 20 %, then tuned to the published numbers",
        note,
        name="tuning",
    )


def picture(verdicts: dict[str, Any]) -> Figure:
    """Left: AUC gains that look alike; middle and right: what tells the worlds apart."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    names = list(verdicts)
    for row, path in enumerate(names):
        item = verdicts[path]
        at = item["measured"]
        panels[0].plot(
            at["auc_return"] - at["auc_baseline"],
            row,
            "o",
            color="#1f5f8b",
            label="all rows" if not row else None,
        )
        gain = at["auc_return_low"] - at["auc_baseline_low"]
        panels[0].plot(gain, row, "s", color="#d08a2e", label="low-signal rows" if not row else None)
        for panel, name, factor in ((panels[1], "within", 1), (panels[2], "exposure", 100)):
            value, low, high = (factor * v for v in item[name])
            panel.errorbar(
                value, row, xerr=[[value - low], [high - value]], fmt="o", color="#1f5f8b", capsize=3
            )
    panels[0].legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.34))
    panels[0].set(title="The same predictive gain", xlabel="AUC gain of the answer", xlim=(0, 0.09))
    panels[1].set(title="Inside users", xlabel="log-odds a point, 95 %")
    panels[2].set(title="Dealt at random", xlabel="percentage points a point, 95 %")
    for panel in panels:
        panel.axvline(0, color="grey", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set(
        yticks=range(len(names)),
        yticklabels=[f"world: {path}\nverdict: {verdicts[path]['verdict']}" for path in names],
    )
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


if __name__ == "__main__":
    command(main)
