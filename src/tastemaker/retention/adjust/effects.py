"""What an adjustment does to rankings: churn, exposure, diversity, proxy gained, engagement given up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.retention.adjust.apply import (
    Requests,
    adjust,
    attribute_sets,
    distance,
    engagement,
    engagement_range,
    ids_of,
    read_requests,
)
from tastemaker.retention.adjust.rules import Rule, Value, ablation
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table
from tastemaker.schema.columns import numbers, one_spelling
from tastemaker.stats.intervals import Interval


@dataclass(frozen=True)
class Exposure:
    """Exposure (sum of 1/log2(1 + j) over the first k) by value of a column: Gini before and after, and the
    largest moves.

    moves: (value, share before, share after), largest change first.
    """

    by: str
    gini_before: float
    gini_after: float
    moves: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class RankEffects:
    """Means over requests unless said otherwise; intervals are over users where `user_id` is given, else over
    requests.

    changed: share of requests whose first k changed, in order or content; overlap: share of the first k kept;
    tau: Kendall between the full orders; displacement: largest move of any item; proxy_gain: of the
    discounted mean p_pos of the first k; engagement_loss: (best - achieved) / (best - worst) of sum_j e_j
    z_(j), 0 where scores do not vary; distance_before, distance_after: mean 1 - similarity within the first k
    (NaN without attributes).
    """

    k: int
    requests: int
    changed: Interval
    overlap: Interval
    tau: Interval
    displacement: int
    proxy_gain: Interval
    engagement_loss: Interval
    distance_before: float
    distance_after: float
    exposure: Mapping[str, Exposure]


def rank_effects(
    before: pa.Table, after: pa.Table, k: int = 10, by: Sequence[str] = ("item_id", "creator", "cohort")
) -> RankEffects:
    """Compare the base order of `before` (request_id, item_id, score, p_pos) with `rank_after` of `after`
    (see `adjust`).

    Both hold the same requests and items, in any order of rows; columns of `by`, attributes, and user_id are
    read from `before` where it has them. Raises InputError when a pair is missing from one side, ranks are no
    permutation, a group of `by` stands in two spellings, or k < 1.
    """
    if k < 1:
        raise InputError(f"k is {k}; give the number of items a person sees, at least 1")
    requests = read_requests(before)
    new = _new_ranks(before, after, requests)
    old, order = requests.rank, np.lexsort((new, requests.request))
    shown_old, shown_new = old <= k, new <= k
    seen = requests.sums(np.minimum(1.0, shown_old))
    same = requests.sums(1.0 * ((old == new) | ~(shown_old | shown_new))) == np.diff(requests.offsets)
    best, worst = engagement_range(requests)
    lost = np.divide(
        best - engagement(requests, order), best - worst, out=np.zeros_like(best), where=best > worst
    )
    users = _users(before, requests)
    means = {
        "changed": 1.0 * ~same,
        "overlap": requests.sums(1.0 * (shown_old & shown_new)) / seen,
        "tau": _kendall(requests, new),
        "proxy_gain": _seen_proxy(requests, new, k) - _seen_proxy(requests, old, k),
        "engagement_loss": lost,
    }
    results = {name: _mean(part, users, name, name in ("changed", "overlap")) for name, part in means.items()}
    columns = [name for name in by if name in before.column_names]
    groups = {name: ids_of(before, name) for name in columns}
    for name in groups.keys() - {"item_id"}:  # ids are taken exactly
        one_spelling(groups[name].unique().sort().to_list(), name, "scored")
    exposure = {name: _exposure(groups[name], name, requests, old, new, k) for name in columns}
    distances = _distances(before, requests, (shown_old, shown_new))
    about: dict[str, Any] = results | {"distance_before": distances[0], "distance_after": distances[1]}
    return RankEffects(k, len(best), displacement=int(np.abs(new - old).max()), exposure=exposure, **about)


def _new_ranks(before: pa.Table, after: pa.Table, requests: Requests) -> Ints:
    """rank_after (n,) at each place of the layout."""
    right = pl.DataFrame({"request_id": ids_of(after, "request_id"), "item_id": ids_of(after, "item_id")})
    right = right.with_columns(pl.Series("new", numbers(after, "rank_after", "scored", low=1)))
    left = pl.DataFrame({"request_id": ids_of(before, "request_id"), "item_id": ids_of(before, "item_id")})
    if left.height != right.height:
        raise InputError(
            f"the rankings differ in size: {left.height} rows before, {right.height} after; adjusters never"
            " filter"
        )
    joined = left.join(right, on=["request_id", "item_id"], how="left", maintain_order="left")
    missing = joined["new"].null_count()
    if missing or joined.height != left.height:
        row = joined["new"].is_null().arg_max() if missing else 0
        pair = joined.row(row or 0)
        raise InputError(
            f"item '{pair[1]}' of request '{pair[0]}' is not once on both sides; compare rankings of the same"
            " items"
        )
    new = joined["new"].to_numpy().astype(np.int64)[requests.rows]
    # Ranks start at 1, so request after request can only be filled by its own items.
    if np.any(np.sort(requests.offsets[requests.request] + new - 1) != np.arange(len(new))):
        raise InputError("rank_after is no ranking from 1 in every request; give the output of `adjust`")
    return new


def _users(table: pa.Table, requests: Requests) -> Ints | None:
    """Number of the user (Q,) of each request."""
    if "user_id" not in table.column_names:
        return None
    codes = ids_of(table, "user_id").rank("dense").to_numpy().astype(np.int64) - 1
    return np.asarray(codes[requests.rows[requests.offsets[:-1]]])


def _mean(values: Floats, users: Ints | None, name: str, share: bool = False) -> Interval:
    """Mean (Q,), normal 95 % interval over users by the delta method; a share stays within [0, 1]."""
    mean = float(values.mean())
    totals, sizes = (
        (values, np.ones(len(values)))
        if users is None
        else (np.bincount(users, values), np.bincount(users) * 1.0)
    )
    n = len(sizes)
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n, name, reason="" if n else "no request")
    error = float(np.sqrt(((totals - mean * sizes) ** 2).sum() / (n - 1) / n)) / float(sizes.mean())
    half = 1.959963984540054 * error
    unit = "requests" if users is None else "users"
    ends = (max(0.0, mean - half), min(1.0, mean + half)) if share else (mean - half, mean + half)
    return Interval(mean, *ends, n, name, (f"{unit} are independent",))


def _seen_proxy(requests: Requests, rank: Ints, k: int) -> Floats:
    """Discounted mean of p_pos (Q,) over the first k."""
    weight = np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0)
    return requests.sums(weight * requests.p_pos) / requests.sums(weight)


def _kendall(requests: Requests, new: Ints) -> Floats:
    """Kendall's tau (Q,) of base and new order; 1 for a single item; equal sizes are counted together."""
    sizes = np.diff(requests.offsets)
    out = np.ones(len(sizes))
    for size in np.unique(sizes[sizes > 1]):
        which = np.flatnonzero(sizes == size)
        grid = new[requests.offsets[which][:, None] + np.arange(size)].astype(np.int32)
        swapped = sum((grid[:, gap:] < grid[:, :-gap]).sum(axis=1) for gap in range(1, int(size)))
        out[which] = 1 - 4 * swapped / (size * (size - 1))
    return out


def gini(values: npt.ArrayLike) -> float:
    """Gini of non-negative values (m,): 0 when equal, towards 1 when one has all; 0 when all are 0."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    total, m = ordered.sum(), len(ordered)
    return float(2 * (np.arange(1, m + 1) @ ordered) / (m * total) - (m + 1) / m) if total > 0 else 0.0


def _exposure(column: pl.Series, by: str, requests: Requests, old: Ints, new: Ints, k: int) -> Exposure:
    codes = column.rank("dense").to_numpy().astype(np.int64)[requests.rows] - 1
    sums = [np.bincount(codes, np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0)) for rank in (old, new)]
    shares = [item / item.sum() for item in sums]
    top = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:5]
    names = column.unique().sort()
    moves = tuple((str(names[int(at)]), float(shares[0][at]), float(shares[1][at])) for at in top)
    return Exposure(by, gini(sums[0]), gini(sums[1]), moves)


def _distances(table: pa.Table, requests: Requests, shown: tuple[Bools, Bools]) -> list[float]:
    if "attributes" not in table.column_names:
        return [math.nan, math.nan]
    sets = attribute_sets(table["attributes"])
    out = []
    for mask in shown:
        ends = np.cumsum(requests.sums(1.0 * mask)).astype(np.int64)[:-1]
        values = np.array([distance(sets[rows]) for rows in np.split(requests.rows[mask], ends)])
        out.append(float(np.nanmean(values)) if np.isfinite(values).any() else math.nan)
    return out


def compare(
    scored: pa.Table,
    rules: Mapping[str, Rule],
    k: int = 10,
    report: Callable[[int, int], object] | None = None,
) -> dict[str, RankEffects]:
    """What each of `rules` does to the same candidates; `report(done, total)` is called as it goes."""
    results = {}
    for place, (name, rule) in enumerate(rules.items()):
        results[name] = rank_effects(scored, adjust(scored, rule), k)
        if report is not None:
            report(place + 1, len(rules))
    return results


def ablations(scored: pa.Table, rule: Rule, k: int = 10) -> dict[str, RankEffects]:
    """The rule, the same rule only raising, and only lowering: which half does the work."""
    parts: dict[str, Rule] = {
        "both": rule,
        "boost only": ablation(rule, "boost"),
        "demote only": ablation(rule, "demote"),
    }
    return compare(scored, parts, k)


def tune_weight(scored: pa.Table, cap: float, penalty: float = 1.0) -> tuple[Value, float]:
    """The rule with one weight for all requests, the largest up to `HEAVIEST` whose mean engagement loss
    stays within `cap`, and that loss. The loss grows with the weight, so halving finds it.

    A cap on the mean leaves some requests above it: `Constrained` holds it in each. Raises InputError on a
    cap outside (0, 1].
    """
    if not 0 < cap <= 1:
        raise InputError(f"the cap is {cap}; give the share of engagement to give up, above 0 and at most 1")
    requests = read_requests(scored)
    best, worst = engagement_range(requests)
    spread = np.where(best > worst, best - worst, 1.0)
    worth = Value(1.0, penalty).retention(requests.p_pos, requests.p_neg) * ~requests.flat[requests.request]

    def loss(weight: float) -> float:
        order = requests.sorted_by(requests.z + weight * worth)
        return float(((best - engagement(requests, order)) / spread).mean())

    low, high = 0.0, HEAVIEST
    if loss(high) <= cap:
        low = high
    while high - low > 1e-6 * HEAVIEST:
        middle = (low + high) / 2
        low, high = (middle, high) if loss(middle) <= cap else (low, middle)
    return Value(low, penalty), loss(low)


HEAVIEST = 10.0  # weight that tuning tries
_LIMITS = (
    "proxy gain counts predicted answers, not people who come back: only a test shows that",
    "engagement here is the base score itself, discounted by position",
)


def effect_row(name: str, effects: RankEffects) -> dict[str, Cell]:
    """One rule as a row: what it gains, what it costs, how much it moves."""
    return {
        "rule": name,
        "proxy gain": effects.proxy_gain,
        "engagement lost": effects.engagement_loss,
        f"top {effects.k} kept": effects.overlap,
        "largest move": effects.displacement,
    }


def movement_row(name: str, effects: RankEffects) -> dict[str, Cell]:
    """One rule as a row: churn and, where items have attributes, diversity."""
    row: dict[str, Cell] = {
        "rule": name,
        f"lists changed (top {effects.k})": effects.changed,
        "Kendall tau": effects.tau,
    }
    if not math.isnan(effects.distance_before):
        row |= {
            "diversity before": round(effects.distance_before, 4),
            "diversity after": round(effects.distance_after, 4),
        }
    return row


def exposure_rows(effects: RankEffects) -> list[dict[str, Cell]]:
    """Gini of exposure by each column, and the value whose share moved most."""
    rows: list[dict[str, Cell]] = []
    for name, item in effects.exposure.items():
        value, before, after = item.moves[0]
        moved = f"{value}: {100 * before:.2f} % to {100 * after:.2f} %"
        row: dict[str, Cell] = {"exposure by": name, "Gini before": item.gini_before}
        rows.append(row | {"Gini after": item.gini_after, "largest move": moved})
    return rows


def preview(scored: pa.Table, rule: Rule, name: str, k: int = 10) -> tuple[RankEffects, ClaimReport]:
    """Effects of `rule` on `scored`, and the report: is there a proxy gain, at which price?

    The claim is supported when the interval of the proxy gain lies above 0. Raises InputError as `adjust`.
    """
    parts = ablations(scored, rule, k)
    full = parts["both"]
    gain, lost = full.proxy_gain, full.engagement_loss
    verdict: Any = "supported" if gain.low > 0 else "not supported"
    moved = f"Predicted positive answers in the top {k} change by {_points(gain)}"
    because = f"{moved}; {100 * lost.value:.2f} % of the engagement range is given up."
    named = {name if part == "both" else f"{name}, {part}": item for part, item in parts.items()}
    rows, churn = ([row(label, item) for label, item in named.items()] for row in (effect_row, movement_row))
    rest = Table.of("Exposure (1 / log2(1 + position) within the top)", exposure_rows(full))
    gains = {f"{name}, {part}": effects.proxy_gain for part, effects in parts.items()}
    picture = Intervals.of("Proxy gain", f"change of mean p in the top {k}", gains, reference=0.0)
    return full, ClaimReport(
        f"{name} puts more of what people return for into the first {k}",
        verdict,
        because,
        (Table.of("This rule, and each half alone", rows), Table.of("Churn and diversity", churn), rest),
        (picture,),
        (
            "the proxy is calibrated on the candidates ranked here",
            "requests of different users are independent",
        ),
        _LIMITS,
        settings={"rule": type(rule).__name__, **asdict(rule), "k": k, "requests": full.requests},
    )


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:+.2f} points ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"


def tuned_claim(claim: ClaimReport, rule: Value, loss: float, cap: float) -> ClaimReport:
    """The preview of a tuned rule, with what it gives up; a weight of 0 means that the cap allows none."""
    given_up = f"gives up {100 * loss:.2f} % of the engagement range (cap {100 * cap:g} %)"
    text = f"Weight {rule.weight:.3f} {given_up}. "
    result: Any = claim.verdict if rule.weight > 0 else "not supported"
    settings = {**claim.settings, "cap": cap}
    return replace(claim, verdict=result, because=text + claim.because, settings=settings)
