"""The proxy of the answer: binary as published against ordinal, calibration by cohort, thresholds that keep
their promise.

Part 1: in a world of simulated listeners, both proxies on half of the users, calibrated on a quarter, shown
on a quarter: expected over observed by cohort, thresholds with bounds beside the published .76 / .38, rank
correlation with the base score.
Part 2: 2,000 samples of 500, 2,000 and 20,000 answers from calibrated p ~ Beta(2, 1.5): how often a
threshold's true precision falls below its target when chosen by the point precision, by the point precision
without neutrals (22 % of answers), by the fixed sequence of bounds, and by the same with weights that undo a
slanted sample. The samples have no world, so they are drawn once for all three. The claim reports are in
`report-*/`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta, binom, spearmanr

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.published import THRESHOLDS, BinaryProxy, point_threshold
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.calibrate import Calibration, calibration_table
from tastemaker.retention.proxy.claim import calibration_claim, threshold_claim
from tastemaker.retention.proxy.judge import (
    TARGETS,
    calibrate_proxy,
    calibration,
    choose_thresholds,
    judge,
)
from tastemaker.retention.proxy.model import Proxy, ProxySettings, fit_proxy, predict, rows_of
from tastemaker.retention.threshold import threshold_at_precision
from tastemaker.simulate.retention import (
    PATHS,
    RANKER_FEATURES,
    ListenerWorld,
    ask,
    column,
    draw_listeners,
    draw_pairs,
    ranker_features,
)
from tastemaker.stats.random import generator

NAME = "retentive_proxy"
SIZES = (500, 2_000, 20_000)
BATCH = 100
NEUTRAL = 0.22
WAYS = ("paper: point", "paper: point, neutrals dropped", "corrected: bounds", "corrected: bounds, weighted")


def main() -> None:
    """Fit, calibrate, choose, repeat, show."""
    options = parser(main, "4,000 listeners instead of 100,000 and 200 samples instead of 2,000")
    options.add_argument(
        "--world", choices=PATHS, help="why people return: the item, the user, or the day (default: each)"
    )
    arguments = read_arguments(options, NAME)
    listeners = 4_000 if arguments.quick else 100_000
    runs = 200 if arguments.quick else 2_000
    journal = Journal(arguments.out, {"listeners": listeners, "runs": runs, "seed": arguments.seed})
    worlds = [arguments.world] if arguments.world else list(PATHS)
    built = journal.run(
        [["proxies", w] for w in worlds], lambda key: proxies(arguments, key[1], listeners), "proxies"
    )
    keys = [[n, part] for n in SIZES for part in range(runs // BATCH)]
    tried = journal.run(keys, lambda key: samples(arguments.seed, *key), "thresholds")
    for world, item in zip(worlds, built, strict=True):
        show_proxies(arguments, world, item)
        save_figure(arguments.out, picture(item, keys, tried, world), f"figure-{world}")
    show_violations(arguments, keys, tried)


def proxies(arguments: Any, path: str, listeners: int) -> dict[str, Any]:
    """Both proxies on the same users, their calibration and thresholds on users that neither saw."""
    seed = arguments.seed
    world = ListenerWorld.of(path, listeners=listeners)
    table = ask(
        world, ranker_features(world, draw_pairs(world, draw_listeners(world, seed), seed), seed), seed
    )
    training, middle, test = (rows_of(table, part, seed) for part in ("fit", "calibrate", "test"))
    fitted, binary = (
        fit_proxy(training, ProxySettings(RANKER_FEATURES)),
        BinaryProxy(training, RANKER_FEATURES),
    )
    done = calibrate_proxy(fitted, middle, "beta")
    ready = choose_thresholds(done, test)
    tables = {
        "corrected": calibration(done, test, "low_signal", seed),
        "paper": published_calibration(binary, ready, test, seed),
        "ordinal, no calibrator": calibration(fitted, test, "low_signal", seed),
    }
    claim = calibration_claim(tables["corrected"], done, tables["ordinal, no calibrator"])
    write_claim(claim, arguments.out / f"report-{path}-calibration")
    write_claim(threshold_claim(ready), arguments.out / f"report-{path}-thresholds")
    base = float(spearmanr(predict(ready, test)[0], column(test, "base_score")).statistic)
    return {
        "calibration": {
            name: {side: [plain(row) for row in rows] for side, rows in by.items()}
            for name, by in tables.items()
        },
        "thresholds": thresholds(ready, binary, test),
        "base": base,
    }


def published_calibration(binary: BinaryProxy, ready: Proxy, test: Any, seed: int) -> dict[str, Any]:
    """Calibration of the published proxy, its p read as the chance of a good answer among all."""
    judged = judge(ready, test)
    truth, selected = judged.truth, judged.rows
    by = np.array([f"low_signal = {value}" for value in selected["low_signal"].to_pylist()])
    users = np.array(selected["user_id"].to_pylist())
    return {
        side: calibration_table(p, truth[side], None, by=by, unit=users, key=seed)
        for side, p in binary.predict(selected).items()
    }


def plain(item: Calibration) -> dict[str, Any]:
    """What tables and figures need of a calibration."""
    ratio = item.expected_observed
    return {
        "cohort": item.cohort,
        "n": item.n,
        "ratio": [ratio.value, ratio.low, ratio.high],
        "ne": item.ne,
        "ece": item.ece_debiased,
        "smooth": item.ece_smooth,
        "curve": item.curve,
    }


def thresholds(ready: Proxy, binary: BinaryProxy, test: Any) -> list[dict[str, Any]]:
    """Rows: the published numbers on the published proxy, its point choice, and the guaranteed choice."""
    judged = judge(ready, test)
    truth, selected = judged.truth, judged.rows
    out = []
    published = binary.predict(selected)
    calibrated = dict(zip(("pos", "neg"), predict(ready, selected), strict=True))
    message = column(selected, "return") != 3
    for side, target in TARGETS.items():
        hit, p = truth[side], published[side]
        fixed = p >= THRESHOLDS[side]
        dropped = point_threshold(p[message], hit[message], target)
        chosen = p >= (dropped or 1.0)
        safe = threshold_at_precision(calibrated[side], hit, unit=judged.unit, target=target)
        best = calibrated[side] >= (safe.tau or 1.0)
        for way, tau, rows, bound in (
            ("published numbers (p > .76, p < .38)", THRESHOLDS[side], fixed, None),
            ("paper: point precision, neutrals dropped", dropped, chosen, None),
            ("corrected: bound, neutrals are misses", safe.tau, best, safe.bound),
        ):
            precision = float(hit[rows].mean()) if rows.any() else None
            out.append(
                {
                    "side": side,
                    "way": way,
                    "target": target,
                    "tau": tau,
                    "precision": precision,
                    "bound": bound,
                    "share": float(rows.mean()),
                }
            )
    return out


def true_precision(tau: float) -> float:
    """P(good | p >= tau) for calibrated p ~ Beta(2, 1.5)."""
    return float(beta(3, 1.5).sf(tau) / beta(2, 1.5).sf(tau) * (2 / 3.5))


def samples(seed: int, n: int, part: int) -> dict[str, list[float | None]]:
    """True precision of the threshold that each way chooses in 100 samples, None where it abstains."""
    out: dict[str, list[float | None]] = {way: [] for way in WAYS}
    for place in range(BATCH):
        rng = generator(seed, "thresholds", n, part, place)
        p = rng.beta(2, 1.5, n)
        good = (rng.random(n) < p).astype(float)
        # A slanted sample, p ~ Beta(2, 2), with weights in proportion to the density it lacks, and noise of
        # its own.
        q = rng.beta(2, 2, n)
        weight = (1 - q) ** -0.5 * rng.gamma(4, 0.25, n)
        liked = (rng.random(n) < q).astype(float)
        message = (good == 1) | (rng.random(n) < 1 - NEUTRAL / (1.5 / 3.5))
        taus = (
            point_threshold(p, good),
            point_threshold(p[message], good[message]),
            threshold_at_precision(p, good).tau,
            threshold_at_precision(q, liked, weight).tau,
        )
        for way, tau in zip(WAYS, taus, strict=True):
            out[way].append(None if tau is None else true_precision(tau))
    return out


def rates(keys: list[Any], tried: list[Any], n: int, way: str) -> tuple[int, int, int]:
    """Runs, runs whose true precision is below .8, runs that abstained."""
    values = [item for key, batch in zip(keys, tried, strict=True) if key[0] == n for item in batch[way]]
    return (
        len(values),
        sum(value is not None and value < 0.8 for value in values),
        sum(value is None for value in values),
    )


def show_proxies(arguments: Any, world: str, values: dict[str, Any]) -> None:
    """Calibration by cohort, and thresholds."""
    rows = []
    for name, by in values["calibration"].items():
        label = {"corrected": "ordinal, beta calibrator", "paper": "binary as published"}.get(name, name)
        for side, cohorts in by.items():
            for cohort in cohorts:
                value, low, high = cohort["ratio"]
                row = {"proxy": label, "side": side, "cohort": cohort["cohort"], "n": f"{cohort['n']:,}"}
                row |= {"expected/observed": f"{value:.3f} [{low:.3f}, {high:.3f}]"}
                row |= {
                    "within .97-1.03": "yes" if abs(value - 1) <= 0.03 else "no",
                    "NE": f"{cohort['ne']:.3f}",
                }
                rows.append(
                    row | {"ECE debiased": f"{cohort['ece']:.3f}", "smooth ECE": f"{cohort['smooth']:.3f}"}
                )
    note = f"World '{world}'. Spearman correlation of p_pos with the base score: {values['base']:.2f}."
    show_table(
        arguments.out,
        rows,
        "Calibration on users that neither fitted nor calibrated the proxy",
        note,
        f"table-{world}",
    )
    lines = []
    for item in values["thresholds"]:
        line = {name: item[name] for name in ("side", "way", "target")}
        line |= {
            "threshold": number(item["tau"], 2) or "none",
            "precision, neutrals are misses": number(item["precision"], 3),
        }
        lines.append(
            line
            | {
                "lower bound": number(item["bound"], 3),
                "share of impressions": f"{100 * item['share']:.1f} %",
            }
        )
    note = "neg: act where p_neg is above the threshold; .62 is 1 − .38."
    show_table(arguments.out, lines, f"Thresholds, world '{world}'", note, f"thresholds-{world}")


def number(value: float | None, digits: int) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def show_violations(arguments: Any, keys: list[Any], tried: list[Any]) -> None:
    """How often the promise of 80 % is broken."""
    rows = []
    for way in WAYS:
        row: dict[str, Any] = {"way": way}
        selected = True
        for n in SIZES:
            runs, broken, none = rates(keys, tried, n, way)
            row[f"n = {n:,}"] = f"{100 * broken / runs:.1f} % (abstains {100 * none / runs:.0f} %)"
            selected &= broken <= binom.ppf(0.99, runs, 0.05)
        if way.startswith("corrected"):
            row["within the binomial 99 % limit of 5 %"] = "yes" if selected else "no"
        rows.append({"way": way, "within the binomial 99 % limit of 5 %": ""} | row)
    title = "How often the true precision falls below the promised 80 %"
    show_table(
        arguments.out, rows, title, f"{runs:,} samples each; calibrated p ~ Beta(2, 1.5).", name="violations"
    )


def picture(result: dict[str, Any], keys: list[Any], tried: list[Any], world: str) -> Figure:
    """Reliability curves by side and cohort, and the broken promises."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    colours = {"low_signal = False": "#1f5f8b", "low_signal = True": "#d08a2e"}
    for panel, side, title in (
        (panels[0], "pos", "Good answers (4, 5)"),
        (panels[1], "neg", "Bad answers (1, 2)"),
    ):
        panel.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, style in (("corrected", "o-"), ("paper", "x--")):
            for item in result["calibration"][name][side][1:]:
                cohort = "low-signal" if item["cohort"].endswith("True") else "high-signal"
                label = f"{'ordinal' if name == 'corrected' else 'binary'}, {cohort}"
                _, expected, observed, _ = zip(*item["curve"], strict=True)
                panel.plot(
                    expected,
                    observed,
                    style,
                    color=colours[item["cohort"]],
                    markersize=4,
                    linewidth=1,
                    label=label,
                )
        panel.set(title=title, xlabel="predicted", ylabel="happened", xlim=(0, 1), ylim=(0, 1))
    panels[0].legend(frameon=False, fontsize=8)
    for place, way in enumerate(WAYS):
        values = [100 * rates(keys, tried, n, way)[1] / rates(keys, tried, n, way)[0] for n in SIZES]
        at = np.arange(len(SIZES)) + 0.2 * (place - 1.5)
        panels[2].bar(at, values, 0.18, label=way, color=("#b0b7bd", "#7d868e", "#1f5f8b", "#d08a2e")[place])
    panels[2].axhline(5, color="black", linewidth=0.8, linestyle=":")
    panels[2].set(
        title="Promise of 80 % broken", xlabel="answers", ylabel="percent of samples", ylim=(0, 130)
    )
    panels[2].set_yticks([0, 25, 50, 75, 100])
    panels[2].set_xticks(range(len(SIZES)), [f"{n:,}" for n in SIZES])
    panels[2].legend(frameon=False, fontsize=7, loc="upper left")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"The proxy on users it never saw (world '{world}')")
    return figure


if __name__ == "__main__":
    command(main)
