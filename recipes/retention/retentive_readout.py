"""The read-out: the published table through `decide`, a trial of a rule in each world, and how often each
interval errs.

Part 1: the published effects as they stand: implied z and p, Holm, BH, and why they alone decide nothing.
Part 2: a 14-day trial of the value rule in the worlds `item`, `user`, `state`: the decision page
(`report-item/` ...), looks day by day, and the surrogate index of the last seven days from the first seven.
Part 3: A/A and A/B runs with known truth: false alarms and coverage of fixed, CUPED, ratio and clustered
intervals, and of 14 and 30 looks by ordinary intervals and by the sequence. Part 4: power curves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.reported import effect_from_interval, power_of, size_for_error
from recipes.retention.trial import TrialPlan, grid_ranks, run_trial
from tastemaker.experiment import (
    Metric,
    Moments,
    Plan,
    bh,
    confidence_sequence,
    decide,
    effect,
    fit_index,
    holm,
    index_effect,
    srm,
)
from tastemaker.experiment.decide import sample_size
from tastemaker.experiment.readout.design import Design
from tastemaker.experiment.readout.read import by_day, look_back, read_out
from tastemaker.flows.retention.experiment.readout import decision_claim, readout_claim, watch_claim
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.adjust.rules import Value
from tastemaker.simulate.retention import PATHS, ListenerWorld
from tastemaker.stats.random import generator

NAME = "retentive_readout"
SHARES = {"control": 0.5, "treatment": 0.5}
# Metric -> percent change, half width of its 95 % interval, good direction. Source: arXiv 2510.07621 as
# reported by others.
PUBLISHED: dict[str, tuple[float, float, Any]] = {
    "sessions per user": (0.030, 0.026, "up"),
    "communication": (0.052, 0.039, "up"),
    "like rate": (0.169, 0.100, "up"),
    "skip rate": (-0.188, 0.085, "down"),
    "reported content": (-1.36, 0.11, "down"),
    "negative feedback": (-1.527, 0.095, "down"),
    "not interested": (-2.6, 1.3, "down"),
}
METRICS = (
    Metric("returned", covariate="returns_before"),
    Metric("sessions"),
    Metric("likes per view", "likes", "impressions"),
    Metric("skips", better="down"),
    Metric("reports", better="down"),
)
PLAN = Plan(
    ("returned",),
    {"skips": 0.02, "reports": 0.25},
    ("sessions", "likes per view"),
    ("low signal",),
    0.05,
    "days 1 to 14",
)


def main() -> None:
    """Run every part, show."""
    options = parser(main, "4,000 instead of 20,000 listeners and 200 instead of 2,400 runs")
    options.add_argument("--world", default=None, choices=PATHS, help="only this world's trial")
    arguments = read_arguments(options, NAME)
    quick, seed = arguments.quick, arguments.seed
    journal = Journal(arguments.out, {"seed": seed, "quick": quick})
    show_published(arguments)
    worlds = [arguments.world] if arguments.world else list(PATHS)
    listeners = 4_000 if quick else 20_000
    done = journal.run(worlds, lambda path: trial(path, listeners, seed, arguments.out), "trials")
    show_trials(arguments, dict(zip(worlds, done, strict=True)))
    if arguments.world:
        return
    runs = 200 if quick else 2_400
    keys = [
        [kind, lift, part]
        for kind in ("fixed", "arriving", "returning")
        for lift in (0.0, 0.05)
        for part in range(4)
    ]
    rates = journal.run(keys, lambda key: errors(key[0], key[1], key[2], runs // 4, seed), "A/A and A/B runs")
    show_errors(arguments, keys, rates, runs)
    save_figure(arguments.out, picture(dict(zip(worlds, done, strict=True))))


def show_published(arguments: Any) -> None:
    """Implied z, p and corrections, and the decision that the table alone allows."""
    read = [
        effect_from_interval(name, v / 100, half / 100, better)
        for name, (v, half, better) in PUBLISHED.items()
    ]
    by_holm, by_bh = (correct([item.p for item in read]) for correct in (holm, bh))
    rows = [
        {
            "metric": name,
            "effect (%)": f"{value:+.3f} ± {half:.3f}",
            "z": f"{abs(item.value) / item.se:.3g}",
            "p": f"{item.p:.3g}",
            "Holm": f"{h:.3g}",
            "BH": f"{b:.3g}",
        }
        for (name, (value, half, _)), item, h, b in zip(PUBLISHED.items(), read, by_holm, by_bh, strict=True)
    ]
    size = size_for_error(1.0, read[0].se)
    note = (
        f"At CV 1 the first row's error means {size / 1e6:.1f} M users an arm; 80 % power for +.03 % needs "
    )
    show_table(
        arguments.out,
        rows,
        "The published table",
        f"{note}{sample_size(1.0, 3e-4) / 1e6:.1f} M.",
        name="published",
    )
    plan = Plan(
        tuple(PUBLISHED)[:1],
        {"skip rate": 0.001, "reported content": 0.001},
        tuple(PUBLISHED)[1:3] + tuple(PUBLISHED)[5:],
    )
    design = Design("published", plan, (), SHARES, "control", ("treatment",))
    alone, assumed = (
        decide(read, plan),
        decide(read, plan, srm({"control": 10**8, "treatment": 10**8}, SHARES)),
    )
    write_claim(decision_claim(design, alone, read), arguments.out / "report-published")
    rows = [
        {"what is known": "the table alone", "decision": alone.verdict, "because": "; ".join(alone.reasons)},
        {
            "what is known": "if the split held (assumed)",
            "decision": assumed.verdict,
            "because": "; ".join(assumed.reasons),
        },
    ]
    show_table(arguments.out, rows, "The published table through decide", name="published-decision")


def trial(path: str, listeners: int, seed: int, out: Any) -> dict[str, Any]:
    """A 14-day trial: decision, looks, surrogate, and the truth."""
    rule = Value(2.0)
    world = ListenerWorld.of(path, listeners=listeners)
    days = run_trial(
        world, lambda s, p, n: -grid_ranks(s, p, n, rule).astype(float), f"{seed} readout", TrialPlan(days=14)
    )
    frame = pl.DataFrame(days).with_columns(
        pl.when(pl.col("low_signal") > 0)
        .then(pl.lit("low signal"))
        .otherwise(pl.lit("high signal"))
        .alias("cohort")
    )
    totals = ["returned", "sessions", "likes", "impressions", "skips", "reports"]
    users = frame.group_by("user_id", maintain_order=True).agg(
        pl.first("arm", "cohort", "returns_before"),
        pl.sum(*totals),
        pl.mean("true_return_control", "true_return_treatment"),
    )
    design = Design(f"trial-{path}", PLAN, METRICS, SHARES, "control", ("treatment",), planned=listeners)
    table, daily = users.to_arrow(), frame.to_arrow()
    reading = read_out(lambda names: table.select(list(dict.fromkeys(names))), design)
    write_claim(readout_claim(design, reading, by_day(daily, design)), out / f"report-{path}")
    seen, every, alarms = look_back(daily, design)
    write_claim(watch_claim(design, seen, every, alarms), out / f"watch-{path}")
    looks = every["treatment", "returned"]
    truth = float(users["true_return_treatment"].mean() / users["true_return_control"].mean() - 1)  # type: ignore[operator]
    plain = effect(reading.moments["treatment"], reading.moments["control"], METRICS[0], covariate=False)
    results = {item.metric: [item.value, item.low, item.high] for item in reading.effects if not item.cohort}
    first = next((day for day, look in zip(seen, looks, strict=True) if look.low > 0 or look.high < 0), None)
    bars = {
        "fixed": [[x.value, x.fixed_low, x.fixed_high] for x in looks],
        "sequence": [[x.value, x.low, x.high] for x in looks],
    }
    return {
        "verdict": reading.decision.verdict,
        "reasons": list(reading.decision.reasons),
        "truth": truth,
        "effects": results,
        "without CUPED": [plain.value, plain.low, plain.high],
        "kept": reading.effects[0].variance_kept,
        "first day": first,
        "looks": bars,
        "surrogate": surrogate(frame, seed),
    }


def surrogate(frame: pl.DataFrame, seed: int) -> dict[str, list[float]]:
    """Returns of days 8 to 14 foretold from days 1 to 7: the index learnt on half of the control arm, read on
    everybody else.
    """
    short = ["returned", "likes", "skips"]
    early = (
        frame.filter(pl.col("day") < 7)
        .group_by("user_id")
        .agg(pl.first("arm"), pl.sum(*short))
        .sort("user_id")
    )
    late = (
        frame.filter(pl.col("day") >= 7)
        .group_by("user_id")
        .agg(pl.sum("returned").alias("long"))
        .sort("user_id")
    )
    values, long = early.select(short).to_numpy().astype(float), late["long"].to_numpy().astype(float)
    treated = (early["arm"] == "treatment").to_numpy()
    past = ~treated & (generator(seed, "history").random(len(treated)) < 0.5)
    index = fit_index(values[past], long[past], short, seed)
    message = index_effect(index, values[treated], values[~treated & ~past])
    t, c = (Moments.of(("long",), long[part, None]) for part in (treated, ~treated & ~past))
    real = effect(t, c, Metric("long"), "absolute")
    return {
        "foretold": [message.value, message.low, message.high],
        "realised": [real.value, real.low, real.high],
    }


def errors(kind: str, lift: float, part: int, runs: int, seed: int) -> dict[str, int]:
    """Runs of `runs` whose interval misses the truth, by interval."""
    rng = generator(seed, "errors", kind, str(lift), part)
    return fixed(rng, lift, runs) if kind == "fixed" else peeking(rng, lift, runs, kind == "arriving")


def fixed(rng: np.random.Generator, lift: float, runs: int) -> dict[str, int]:
    """One look: difference of means, CUPED, relative lift, ratio, clusters of three."""
    missed = dict.fromkeys(("mean", "CUPED", "relative lift", "ratio", "clustered"), 0)
    for _ in range(runs):
        taste = rng.gamma(4.0, 1.0, 600)
        treated = np.repeat(rng.permutation(200) < 100, 3)
        plays = rng.poisson(taste * (1 + lift * treated)) + 1.0
        before = rng.poisson(taste) + 1.0
        likes = rng.binomial(plays.astype(int), rng.beta(2, 6, 600)) * 1.0
        home = np.repeat(rng.normal(0, 1, 200), 3) + plays
        alone = np.repeat(rng.random(200) < 0.5, 3) if lift == 0 else treated
        by_user = rng.permutation(600) < 300 if lift == 0 else treated
        columns = ("plays", "before", "likes")
        t, c = (
            Moments.of(columns, np.column_stack([plays, before, likes])[side]) for side in (by_user, ~by_user)
        )
        sums = np.column_stack([home.reshape(-1, 3).sum(axis=1), np.full(200, 3.0)])
        ct, cc = (Moments.of(("home", "units"), sums[side]) for side in (alone[::3], ~alone[::3]))
        truth = 4.0 * lift
        metric = Metric("plays", covariate="before")
        read = {
            "mean": (effect(t, c, metric, "absolute", covariate=False), truth),
            "CUPED": (effect(t, c, metric, "absolute"), truth),
            "relative lift": (effect(t, c, metric), truth / 5.0),
            "ratio": (effect(t, c, Metric("r", "likes", "plays"), "absolute"), 0.0),
            "clustered": (effect(ct, cc, Metric("home", "home", "units"), "absolute"), truth),
        }
        for name, (item, true) in read.items():
            missed[name] += not item.low <= true <= item.high
    return missed


def peeking(rng: np.random.Generator, lift: float, runs: int, arriving: bool) -> dict[str, int]:
    """14 and 30 daily looks at returns: new users every day, or the same users with more days."""
    missed: dict[str, int] = {}
    for looks in (14, 30):
        wrong = np.zeros(2, dtype=int)
        for _ in range(runs):
            value, variance, n = arrivals(rng, lift, looks) if arriving else revisits(rng, lift, looks)
            read = confidence_sequence(value, variance, n, int(n[-1]))
            half = 1.959964 * np.sqrt(variance)
            wrong += [
                bool(np.any(np.abs(value - lift) > half)),
                bool(np.any((read.low > lift) | (read.high < lift))),
            ]
        missed |= {f"{looks} looks, ordinary": int(wrong[0]), f"{looks} looks, sequence": int(wrong[1])}
    return missed


def arrivals(rng: np.random.Generator, lift: float, looks: int) -> tuple[Any, Any, Any]:
    """Difference, its variance and the units at each look; 400 new users a look, one outcome each
    (probability .4 + lift).
    """
    n = 200 * np.arange(1, looks + 1)
    t, c = (rng.binomial(200, 0.4 + part, looks).cumsum() / n for part in (lift, 0.0))
    return t - c, (t * (1 - t) + c * (1 - c)) / (n - 1), 2 * n


def revisits(rng: np.random.Generator, lift: float, looks: int) -> tuple[Any, Any, Any]:
    """As `arrivals`, for 1,000 users who are all there from the first day and have one more outcome each
    day.
    """
    trait = rng.normal(0, 0.12, 1000)
    side = np.arange(1000) < 500
    chance = np.clip(0.4 + trait + lift * side, 0, 1)
    days = np.arange(1, looks + 1)
    share = (rng.random((looks, 1000)) < chance).cumsum(axis=0) / days[:, None]
    parts = [share[:, part] for part in (side, ~side)]
    variance = sum(item.var(axis=1, ddof=1) / 500 for item in parts)
    return parts[0].mean(axis=1) - parts[1].mean(axis=1), variance, np.full(looks, 1000)


def show_trials(arguments: Any, trials: dict[str, Any]) -> None:
    """One row a world."""

    def interval_text(values: Sequence[float], scale: float = 100.0, unit: str = " %") -> str:
        return f"{scale * values[0]:+.2f}{unit} [{scale * values[1]:+.2f}, {scale * values[2]:+.2f}]"

    rows = [
        {
            "world": path,
            "true lift of returns": f"{100 * item['truth']:+.2f} %",
            "measured, CUPED": interval_text(item["effects"]["returned"]),
            "without CUPED": interval_text(item["without CUPED"]),
            "variance left": f"{100 * item['kept']:.0f} %",
            "likes per view": interval_text(item["effects"]["likes per view"]),
            "skips": interval_text(item["effects"]["skips"]),
            "decision": item["verdict"],
            "first day shown": "never" if item["first day"] is None else item["first day"] + 1,
            "index, days 8-14": interval_text(item["surrogate"]["foretold"], 1.0, ""),
            "realised": interval_text(item["surrogate"]["realised"], 1.0, ""),
        }
        for path, item in trials.items()
    ]
    note = (
        "Value rule, weight 2, top 1 of 20, proxy explains 20 % of RR*. First day shown: by the sequence."
        " Index: returns a user."
    )
    show_table(arguments.out, rows, "A 14-day trial in each world", note)
    reasons = [
        {"world": path, "decision": item["verdict"], "because": "; ".join(item["reasons"])}
        for path, item in trials.items()
    ]
    show_table(arguments.out, reasons, "Why", name="reasons")


def show_errors(arguments: Any, keys: list[Any], rates: list[Any], runs: int) -> None:
    """Misses of each interval in A/A (false alarms) and A/B (1 - coverage) runs, with the limit alpha + 3
    Monte-Carlo errors.
    """
    totals: dict[tuple[str, str], dict[float, int]] = {}
    for (kind, lift, _), rate in zip(keys, rates, strict=True):
        for name, wrong in rate.items():
            entry = totals.setdefault((kind, name), {})
            entry[lift] = entry.get(lift, 0) + wrong
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    setting = {
        "fixed": "one look, 600 users",
        "arriving": "users arrive daily",
        "returning": "the same users daily",
    }
    rows = [
        {
            "setting": setting[kind],
            "interval": name,
            "false alarms, A/A": f"{100 * by_lift[0.0] / runs:.1f} %",
            "misses the effect, A/B": f"{100 * by_lift[0.05] / runs:.1f} %",
            "within the limit": "yes" if max(by_lift.values()) / runs <= limit else "no",
        }
        for (kind, name), by_lift in totals.items()
    ]
    note = (
        f"{runs:,} runs a cell; limit 5 % + 3 Monte-Carlo errors = {100 * limit:.1f} %. Looks: a miss at any"
        " of them."
    )
    show_table(arguments.out, rows, "How often each interval errs", note, name="rates")


def picture(trials: dict[str, Any]) -> Figure:
    """Looks of each world by both intervals, and the power curve."""
    figure = Figure(figsize=(4.2 * len(trials) + 4.2, 4.0))
    axes = figure.subplots(1, len(trials) + 1)
    for axis, (path, item) in zip(axes, trials.items(), strict=False):
        for name, colour in (("sequence", "#0072b2"), ("fixed", "#d55e00")):
            value, low, high = (
                100 * np.array([[math.nan if x is None else x for x in row] for row in item["looks"][name]]).T
            )
            day = np.arange(1, len(value) + 1) + (0.15 if name == "fixed" else -0.15)
            label = {"sequence": "valid at every look", "fixed": "valid for one look"}[name]
            axis.errorbar(
                day, value, [value - low, high - value], fmt="o", color=colour, markersize=3, label=label
            )
        axis.axhline(100 * item["truth"], color="0.4", linestyle="--", linewidth=1, label="truth")
        axis.axhline(0, color="0.7", linewidth=0.8)
        axis.set_title(f"world: {path}")
        axis.set_xlabel("day of the look")
    axes[0].set_ylabel("lift of returns (%)")
    n = np.geomspace(1e3, 1e9, 200)
    for lift, colour in zip((0.05, 0.01, 0.0003), ("#009e73", "#cc79a7", "#e69f00"), strict=True):
        axes[-1].plot(n, 100 * power_of(1.0, lift, n), color=colour, label=f"lift {100 * lift:g} %")
        axes[-1].plot(n, 100 * power_of(1.0, lift, n, correlation=0.7), color=colour, linestyle=":")
    axes[-1].set_xscale("log")
    axes[-1].set_title("power at CV 1 (dotted: CUPED, r = .7)")
    axes[-1].set_xlabel("users an arm")
    axes[-1].set_ylabel("chance to see it (%)")
    axes[-1].set_ylim(0, 125)
    axes[-1].legend(
        frameon=False, fontsize=8, loc="upper center", ncol=3, columnspacing=0.8, handlelength=1.2
    )
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncol=3, frameon=False)
    return figure


if __name__ == "__main__":
    command(main)
