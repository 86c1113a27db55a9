"""Every rule on the same listeners: what comes back for what is given up, where the item is the cause and
where it is not.

Part 1: the simulated world, top 1 of 20 shown, both potential outcomes known: the published step over alpha x
beta, and hinge, value, constrained and capped rules, in the worlds `item`, `user` and `state`. Part 2: real
attributes (Beauty) under a popularity
ranking and a synthetic proxy: churn, exposure, diversity of every rule. Part 3: Open Bandit's random log: a
click model of the first half, the clicks of the adjusted top item on the second half; 46 clicks in 10,000
rows and no survey, so a check that the plumbing holds, not evidence. The claim report of the hinge on Beauty
is in `report/`.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from recipes.common import DATA, Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.trial import TrialPlan, grid_ranks, run_trial
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.adjust.effects import compare, preview
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Rule, Step, Value
from tastemaker.simulate.retention import PATHS, ListenerWorld
from tastemaker.stats.random import generator

NAME = "retentive_adjust"
ALPHAS, BETAS = (0.25, 0.5, 1.0, 2.0), (0.0, 1.0, 2.0, 4.0)
FAMILIES: dict[str, list[tuple[str, Rule]]] = {
    "step": [(f"step {a:g}/{b:g}", Step(a, b)) for a in ALPHAS for b in BETAS],
    "hinge": [(f"hinge {a:g}/{a / 2:g}", Hinge(a, a / 2, 0.6, 0.5)) for a in (1.0, 2.0, 4.0, 8.0)],
    "value": [(f"value {w:g}", Value(w)) for w in (0.25, 0.5, 1.0, 2.0, 4.0)],
    "constrained": [(f"constrained {e:g}", Constrained(e)) for e in (0.005, 0.01, 0.02, 0.05, 0.1)],
    "capped value": [(f"value 2 capped {d}", Capped(Value(2.0), d)) for d in (1, 2, 5)],
}
EXPLAINED = (0.1, 0.2, 0.3)


def main() -> None:
    """Run every part, show."""
    options = parser(main, "4,000 instead of 40,000 listeners and 200 instead of 2,000 Beauty requests")
    options.add_argument("--world", default=None, choices=PATHS, help="only this world of part 1")
    arguments = read_arguments(options, NAME)
    quick, seed = arguments.quick, arguments.seed
    journal = Journal(arguments.out, {"seed": seed, "quick": quick})
    worlds = [arguments.world] if arguments.world else list(PATHS)
    rules = [name for family in FAMILIES.values() for name, _ in family]
    keys = [[path, name] for path in worlds for name in rules]
    lookup = {name: rule for family in FAMILIES.values() for name, rule in family}
    listeners = 4_000 if quick else 40_000
    done = journal.run(
        keys, lambda key: in_world(key[0], lookup[key[1]], listeners, seed, 0.2), "rules in worlds"
    )
    results = {tuple(key): item for key, item in zip(keys, done, strict=True)}
    show_worlds(arguments, worlds, rules, results)
    scale = [
        [path, explains, alpha] for path in worlds for explains in EXPLAINED for alpha in (0.25, 0.5, 1.0)
    ]
    show_scale(
        arguments,
        scale,
        journal.run(scale, lambda key: quarter(key[0], key[1], key[2], listeners, seed), "boosted quarter"),
    )
    save_figure(arguments.out, picture(worlds, results))
    if arguments.world:
        return
    if (DATA / "amazon-beauty-2014").exists():
        show_beauty(arguments, 200 if quick else 2_000, seed)
    if (DATA / "open-bandit").exists():
        show_bandit(arguments)


def in_world(
    path: str, rule: Rule | None, listeners: int, seed: int, explains: float, **more: Any
) -> dict[str, float]:
    """Return and engagement (base score of what is shown, in SD of base scores) under a rule, against the
    base ranking.
    """
    shown: dict[str, float] = {}
    boosted: Callable[[Any, Any], Any] | None = more.get("boosted")

    def rank(score: Any, p_pos: Any, p_neg: Any) -> Any:
        out = boosted(score, p_pos) if boosted else -grid_ranks(score, p_pos, p_neg, rule).astype(float)  # type: ignore[arg-type]
        rows = np.arange(len(score))
        shown["base"] = float(score.max(axis=1).mean())
        shown["new"] = float(score[rows, out.argmax(axis=1)].mean())
        return out

    world = ListenerWorld.of(path, listeners=listeners)
    trial = run_trial(world, rank, f"{seed} adjust", TrialPlan(days=1, proxy_explains=explains))
    before, after = (np.asarray(trial[f"true_return_{arm}"]) for arm in ("control", "treatment"))
    gain = after - before
    return {
        "before": float(before.mean()),
        "gain": float(gain.mean()),
        "error": float(gain.std(ddof=1) / len(gain) ** 0.5),
        "given up": shown["base"] - shown["new"],
        "changed": float(np.asarray(trial["changed"]).mean()),
    }


def quarter(path: str, explains: float, alpha: float, listeners: int, seed: int) -> dict[str, float]:
    """The source's scale argument: the top quarter of the proxy raised by alpha SD of the base score."""

    def boosted(score: Any, p_pos: Any) -> Any:
        return score + alpha * (p_pos > np.quantile(p_pos, 0.75))

    return in_world(path, None, listeners, seed, explains, boosted=boosted)


def points(values: dict[str, float]) -> str:
    """Percentage points with a 95 % interval."""
    half = 196 * values["error"]
    return (
        f"{100 * values['gain']:+.2f} [{100 * values['gain'] - half:+.2f},"
        f" {100 * values['gain'] + half:+.2f}]"
    )


def show_worlds(arguments: Any, worlds: list[str], rules: list[str], results: dict[Any, Any]) -> None:
    """One row a rule."""
    rows = []
    for name in rules:
        first = results[worlds[0], name]
        row = {
            "rule": name,
            "lists changed": f"{100 * first['changed']:.0f} %",
            "given up (SD)": f"{first['given up']:.3f}",
        }
        rows.append(row | {f"return, {path} (points)": points(results[path, name]) for path in worlds})
    base = ", ".join(f"{path} {results[path, rules[0]]['before']:.3f}" for path in worlds)
    note = (
        f"Next-day return without a rule: {base}. Step a/b: alpha/beta. Standardised; top 1 of 20; proxy"
        " explains 20 % of RR*."
    )
    show_table(arguments.out, rows, "What each rule brings back", note)


def show_scale(arguments: Any, keys: list[Any], done: list[Any]) -> None:
    """The scale argument: an item-caused gain is points, not hundredths of a percent."""
    rows = [
        {
            "world": path,
            "proxy explains": f"{100 * explains:.0f} %",
            "boost (SD)": alpha,
            "return": f"{item['before']:.3f} to {item['before'] + item['gain']:.3f}",
            "gain (points)": points(item),
        }
        for (path, explains, alpha), item in zip(keys, done, strict=True)
    ]
    note = "The source's measurement: .605 to .612-.649 in the item world, exactly zero in the user world."
    show_table(
        arguments.out, rows, "Top proxy quarter boosted: the scale of a true effect", note, name="scale"
    )


def picture(worlds: list[str], results: dict[Any, Any]) -> Figure:
    """Return gained against base score given up, one panel a world, one line a family."""
    figure = Figure(figsize=(4.2 * len(worlds), 4.0))
    axes = figure.subplots(1, len(worlds), sharey=True, squeeze=False)[0]
    for axis, path in zip(axes, worlds, strict=True):
        for (family, members), mark in zip(FAMILIES.items(), "osD^v", strict=True):
            result = sorted(
                (results[path, name]["given up"], 100 * results[path, name]["gain"]) for name, _ in members
            )
            style = "" if family == "step" else "-"
            axis.plot(*zip(*result, strict=True), style + mark, label=family, markersize=4, linewidth=1.2)
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.set_title(f"world: {path}")
        axis.set_xlabel("base score given up (SD)")
    axes[0].set_ylabel("next-day return gained (points)")
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncol=len(FAMILIES), frameon=False)
    return figure


def beauty(requests: int, seed: int) -> pa.Table:
    """50 candidates a request, drawn by popularity and scored by it; a proxy that depends on the item and, a
    little, the user.
    """
    folder = DATA / "amazon-beauty-2014"
    items = pq.read_table(folder / "items.parquet").to_pydict()
    attributes = dict(zip(items["item_id"], items["attributes"], strict=True))
    played = pq.read_table(folder / "interactions.parquet")["item_id"].value_counts().to_pylist()
    names = [item["values"] for item in played if item["values"] in attributes]
    counts = np.array([item["counts"] for item in played if item["values"] in attributes], dtype=float)
    rng = generator(seed, "beauty")
    quality = rng.normal(size=len(names))
    score = np.log(counts)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("request_id", "item_id", "score", "p_pos", "creator", "attributes")
    }
    for request in range(requests):
        drawn = np.argsort(-(score + rng.gumbel(size=len(names))))[:50]
        p = 1 / (1 + np.exp(-(0.6 + 0.9 * quality[drawn] + 0.5 * rng.normal(size=50))))
        rows["request_id"] += [f"r{request}"] * 50
        rows["item_id"] += [names[at] for at in drawn]
        rows["score"] += (score[drawn] + 0.3 * rng.normal(size=50)).tolist()
        rows["p_pos"] += p.tolist()
        rows["attributes"] += [attributes[names[at]] for at in drawn]
        rows["creator"] += [(attributes[names[at]] or ["unknown"])[0] for at in drawn]
    return pa.table(rows)


def show_beauty(arguments: Any, requests: int, seed: int) -> None:
    """Churn, exposure and diversity of every rule on real attributes."""
    table = beauty(requests, seed)
    rules: dict[str, Rule] = {
        "step, published": Step(),
        "hinge": Hinge(),
        "value": Value(1.0),
        "constrained .02": Constrained(0.02),
        "step capped 5": Capped(Step(), 5),
    }
    rows = []
    for name, item in compare(table, rules, 10).items():
        items, makers = item.exposure["item_id"], item.exposure["creator"]
        rows.append(
            {
                "rule": name,
                "proxy gain": (
                    f"{item.proxy_gain.value:+.4f} [{item.proxy_gain.low:+.4f}, {item.proxy_gain.high:+.4f}]"
                ),
                "engagement lost": f"{100 * item.engagement_loss.value:.2f} %",
                "top 10 kept": f"{100 * item.overlap.value:.1f} %",
                "Kendall tau": f"{item.tau.value:.3f}",
                "largest move": item.displacement,
                "item Gini": f"{items.gini_before:.3f} to {items.gini_after:.3f}",
                "brand Gini": f"{makers.gini_before:.3f} to {makers.gini_after:.3f}",
                "diversity": f"{item.distance_before:.3f} to {item.distance_after:.3f}",
            }
        )
    note = (
        f"{requests:,} requests of 50 items; score: log popularity; synthetic proxy; diversity: mean Jaccard"
        " distance, top 10."
    )
    show_table(
        arguments.out, rows, "Churn, exposure and diversity on Beauty's attributes", note, name="beauty"
    )
    write_claim(preview(table, Hinge(), "The hinge on Beauty", 10)[1], arguments.out / "report")


def show_bandit(arguments: Any) -> None:
    """Clicks of the adjusted top item on the second half of a random log, by inverse propensity."""
    from tastemaker.explore.bounds import lower_bound
    from tastemaker.explore.estimate.weighting import ips, snips
    from tastemaker.explore.policy.softmax import TablePolicy, uniform_policy
    from tastemaker.explore.table import Columns, check_log

    raw = gzip.decompress((DATA / "open-bandit" / "random" / "men.csv.gz").read_bytes())
    table = pyarrow.csv.read_csv(io.BytesIO(raw))
    log = check_log(
        table,
        Columns(action="item_id", reward="click", propensity="propensity_score", timestamp="-"),
        list(map(str, range(34))),
    )
    first = np.arange(len(log)) < len(log) // 2
    learn, test = log.take(first), log.take(~first)
    clicks, seen = np.bincount(learn.action, learn.reward, 34), np.bincount(learn.action, minlength=34)
    score = (clicks + 1) / (seen + 200)  # shrunk towards half a percent
    proxy = (
        0.9 - 0.6 * np.argsort(np.argsort(score)) / 33
    )  # opposed to the click model, so that a strong rule moves the top
    rules: dict[str, Rule | None] = {
        "base": None,
        "step": Step(50.0),
        "value": Value(50.0),
        "capped": Capped(Value(50.0), 3),
    }
    rows = []
    for name, rule in rules.items():
        ranks = grid_ranks(score[None], proxy[None], (1 - proxy[None]) * 0.7, rule or Value(0.0))[0]
        probability = np.where(ranks == 1, 1.0, 1e-12)[None]
        policy = TablePolicy(probability / probability.sum())
        result = ips(test, policy)
        bound = lower_bound(result, 0.05, "t")
        shown = int((ranks[test.action] == 1).sum())
        message = {
            "top item": int(np.argmin(ranks)),
            "rows that showed it": shown,
            "clicks (IPS)": f"{result.mean:.5f}",
        }
        rows.append(
            {
                "rule": name,
                **message,
                "lower bound": f"{bound.low:.5f}",
                "SNIPS": f"{snips(test, policy).mean:.5f}",
            }
        )
    uniform = ips(test, uniform_policy(34)).mean
    note = (
        f"5,000 rows, {test.rewarded} clicks; the random logger itself: {uniform:.5f}. No survey: a check of"
        " the plumbing."
    )
    show_table(arguments.out, rows, "Open Bandit, men, random log", note, name="bandit")


if __name__ == "__main__":
    command(main)
