"""`adjust`: one rule applied to scored candidates, with by how much and why in every row."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from scipy import sparse

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.retention.adjust.rules import Capped, Constrained, Rule
from tastemaker.schema.columns import numbers, texts

# Makes the median absolute deviation of a normal distribution its standard deviation.
NORMAL = 1.4826


@dataclass(frozen=True)
class Requests:
    """n candidates of Q requests; a "place" is a row of this layout.

    rows (n,): row of the table at each place; offsets (Q + 1,); request (n,): number of its request; z (n,):
    score in median absolute deviations of its request; p_pos, p_neg
    (n,); flat (Q,): scores of the request do not vary (MAD 0). Equal scores are in the order of item_id.
    """

    rows: Ints
    offsets: Ints
    request: Ints
    z: Floats
    p_pos: Floats
    p_neg: Floats
    flat: Bools

    @cached_property
    def rank(self) -> Ints:
        """Base rank (n,) from 1."""
        return np.arange(len(self.rows)) - self.offsets[self.request] + 1

    @cached_property
    def discount(self) -> Floats:
        """e_j = 1 / log2(1 + j) (n,) of the position each place is."""
        return np.asarray(1.0 / np.log2(1.0 + self.rank), dtype=np.float64)

    def sums(self, values: npt.NDArray[Any]) -> Floats:
        """Sums (Q,) of values (n,) by request."""
        return np.asarray(np.add.reduceat(values, self.offsets[:-1]), dtype=np.float64)

    def sorted_by(self, key: Floats) -> Ints:
        """Places (n,) with the largest key first in each request; equal keys keep the base order."""
        sizes = np.diff(self.offsets)
        if np.all(sizes == sizes[0]):  # the usual case, several times faster than one sort of everything
            grid = np.argsort(-key.reshape(-1, sizes[0]), axis=1, kind="stable")
            return (grid + self.offsets[:-1, None]).ravel()
        return np.lexsort((-key, self.request)).astype(np.int64, copy=False)


def ids_of(table: pa.Table, name: str) -> pl.Series:
    """A column of ids. Raises InputError where it is missing or empty."""
    return pl.Series(name, texts(table, name, "scored"))


def read_requests(scored: pa.Table) -> Requests:
    """Lay `scored` out: request_id, item_id, score, p_pos, and p_neg (1 - p_pos where absent).

    Raises InputError naming row and column on a missing column, an empty id, a score that is not finite, a
    probability outside [0, 1], an item twice in a request, or a table without rows.
    """
    if not scored.num_rows:
        raise InputError("scored: the table has no rows; there is nothing to adjust")
    score = numbers(scored, "score", "scored")
    p_pos = numbers(scored, "p_pos", "scored", low=0, high=1)
    p_neg = numbers(scored, "p_neg", "scored", low=0, high=1) if "p_neg" in scored.column_names else 1 - p_pos
    over = np.flatnonzero(p_pos + p_neg > 1 + 1e-6)
    if len(over):
        raise InputError(
            f"scored: row {over[0] + 1}: p_pos and p_neg add to more than 1; both are shares of the same"
            " answers"
        )
    names, items = ids_of(scored, "request_id"), ids_of(scored, "item_id")
    frame = pl.DataFrame(
        {"request": names.rank("dense"), "item": items.rank("dense"), "score": -score}
    ).with_row_index("row")
    frame = frame.sort("request", "score", "item")
    request = frame["request"].to_numpy().astype(np.int64) - 1
    rows = frame["row"].to_numpy().astype(np.int64)
    _refuse_twice(frame, names, items)
    offsets = np.searchsorted(request, np.arange(request[-1] + 2))
    z, flat = _standardised(score[rows], request, offsets)
    return Requests(rows, offsets, request, z, p_pos[rows], p_neg[rows], flat)


def grid_requests(score: Floats, p_pos: Floats, p_neg: Floats) -> Requests:
    """The layout of requests that all have n candidates: scores and probabilities (Q, n), row = request x n +
    candidate.

    Equal scores keep the order of candidates.
    """
    q, n = score.shape
    rows = (np.argsort(-score, axis=1, kind="stable") + np.arange(q)[:, None] * n).ravel()
    request, offsets = np.repeat(np.arange(q), n), np.arange(q + 1) * n
    z, flat = _standardised(score.ravel()[rows], request, offsets)
    return Requests(rows, offsets, request, z, p_pos.ravel()[rows], p_neg.ravel()[rows], flat)


def _refuse_twice(frame: pl.DataFrame, names: pl.Series, items: pl.Series) -> None:
    pairs = frame["request"].cast(pl.UInt64) * (int(frame["item"].max()) + 1) + frame["item"]  # type: ignore[arg-type]
    if pairs.n_unique() < len(frame):
        row = int(frame.filter(pairs.is_duplicated())["row"].sort()[0])
        raise InputError(
            f"scored: row {row + 1}: item '{items[row]}' comes twice in request '{names[row]}'; keep one row"
            " a request and item"
        )


def _standardised(score: Floats, request: Ints, offsets: Ints) -> tuple[Floats, Bools]:
    """(score - median) / (1.4826 MAD) by request, and which requests have MAD 0 (their z is 0)."""
    away = score - _medians(score, offsets)[request]
    size = np.abs(away)
    mad = _medians(size[np.lexsort((size, request))], offsets)
    flat = mad <= 0
    return np.where(flat[request], 0.0, away / (NORMAL * np.where(flat, 1.0, mad)[request])), flat


def _medians(ordered: Floats, offsets: Ints) -> Floats:
    """Medians (Q,) of values that are sorted within each request."""
    n = np.diff(offsets)
    return np.asarray(
        (ordered[offsets[:-1] + (n - 1) // 2] + ordered[offsets[:-1] + n // 2]) / 2, dtype=np.float64
    )


def distance(sets: Any) -> float:
    """Mean of 1 - Jaccard over pairs of different items, of their attributes as CSR (m, A) of 0 and 1; items
    without attributes resemble nothing. NaN below two items.
    """
    m = sets.shape[0]
    if m < 2:
        return float("nan")
    shared = np.asarray((sets @ sets.T).todense(), dtype=np.float64)
    size = np.diff(sets.indptr).astype(np.float64)
    union = size[:, None] + size[None, :] - shared
    alike = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return float(1 - (alike.sum() - np.trace(alike)) / (m * (m - 1)))


def attribute_sets(column: pa.ChunkedArray) -> Any:
    """CSR (n, A) of 0 and 1 of a column of lists of text. Raises InputError where it is none."""
    try:
        lists = pl.Series("attributes", column).cast(pl.List(pl.String)).fill_null([])
    except pl.exceptions.PolarsError as error:
        raise InputError(f"scored: column 'attributes' is no list of texts: {error}") from None
    pairs = lists.to_frame().with_row_index("row").explode("attributes").drop_nulls().unique()
    names = pairs["attributes"].rank("dense").to_numpy().astype(np.int64) - 1
    shape = (len(lists), int(names.max()) + 1 if len(names) else 1)
    return sparse.csr_array(
        (np.ones(len(names)), (pairs["row"].to_numpy().astype(np.int64), names)), shape=shape
    )


_HALVINGS = 40


def engagement(requests: Requests, order: Ints) -> Floats:
    """sum_j e_j z_(j) (Q,) of the places in `order` (n,)."""
    return requests.sums(requests.discount * requests.z[order])


def engagement_range(requests: Requests) -> tuple[Floats, Floats]:
    """Best and worst sum_j e_j z_(j) (Q,): base order, and the same backwards."""
    last = requests.offsets[requests.request] + requests.offsets[requests.request + 1] - 1
    backwards = last - np.arange(len(requests.rows))
    return engagement(requests, np.arange(len(requests.rows))), engagement(requests, backwards)


def constrained(requests: Requests, rule: Constrained) -> tuple[Floats, Ints]:
    """The largest mu (Q,) within the rule's loss, and the places (n,) in the order z + mu v."""
    value = rule.retention(requests.p_pos, requests.p_neg)
    best, worst = engagement_range(requests)
    floor = best - rule.eps * (best - worst) - 1e-12  # an order that costs just this much is within it

    def holds(mu: Floats) -> tuple[np.ndarray, Ints]:
        order = requests.sorted_by(requests.z + mu[requests.request] * value)
        return engagement(requests, order) >= floor, order

    low, high = np.zeros(len(best)), np.full(len(best), rule.mu_max)
    high[requests.flat] = 0.0
    free, _ = holds(high)
    low[free] = high[free]
    for _ in range(_HALVINGS):
        if free.all():
            break
        middle = (low + high) / 2
        fine, _ = holds(middle)
        low = np.where(fine, middle, low)
        high = np.where(fine | free, high, middle)
        free |= high - low <= rule.mu_max * 1e-12
    return low, holds(low)[1]


def capped(requests: Requests, wanted: Ints, most: int) -> Ints:
    """Places (n,) in an order as `wanted` as possible where nobody moves more than `most` positions.

    One pass over positions: the item whose last allowed position this is, else the most wanted one that may
    come this early. At most one item is ever due, because base ranks differ.
    """
    out = np.empty_like(wanted)
    preference = np.empty_like(wanted)
    preference[wanted] = np.arange(len(wanted))
    for start, end in zip(requests.offsets[:-1].tolist(), requests.offsets[1:].tolist(), strict=True):
        waiting: list[tuple[int, int]] = []
        placed = [False] * (end - start)
        ranked = preference[start:end].tolist()
        opened = 0
        for position in range(end - start):
            while opened < end - start and opened - most <= position:
                heapq.heappush(waiting, (ranked[opened], opened))
                opened += 1
            due = position - most
            if due >= 0 and not placed[due]:
                chosen = due
            else:
                while placed[waiting[0][1]]:
                    heapq.heappop(waiting)
                chosen = heapq.heappop(waiting)[1]
            placed[chosen] = True
            out[start + position] = start + chosen
    return out


REASONS = (
    "unchanged",
    "raised: likely to bring the person back",
    "lowered: unlikely to bring the person back",
    "moved by the items around it",
    "left alone: the scores of this request do not vary",
)
_HELD = "; held near its place"


@dataclass(frozen=True)
class Ranked:
    """Places (n,) in new order, with retention, term and adjusted score (n,) each; who was held."""

    order: Ints
    retention: Floats
    term: Floats
    adjusted: Floats
    held: Bools

    @property
    def position(self) -> Ints:
        """Where each place (n,) went, counted over all requests."""
        out = np.empty_like(self.order)
        out[self.order] = np.arange(len(self.order))
        return out


def adjust(scored: pa.Table, rule: Rule) -> pa.Table:
    """Re-rank every request of `scored` by `rule`; rows stay in their order, none is dropped.

    scored: request_id, item_id, score, p_pos, optionally p_neg (1 - p_pos where absent). The rule adds to the
    score in median absolute deviations of its request, so that it means the same on a drifting score scale.
    Adds `retention` (what the rule looked at), `adjustment` (what it added, in those units),
    `adjusted_score`, `rank_before` and `rank_after` (from 1; equal scores in the order of item_id), and
    `reason`. The order is `rank_after`: caps move items beyond their score. A request whose scores do not
    vary (MAD 0) is left alone and says so. Raises InputError as `read_requests`.
    """
    requests = read_requests(scored)
    ranked = rank(requests, rule)
    n = len(requests.rows)
    after = ranked.position - requests.offsets[requests.request] + 1
    back = np.empty(n, dtype=np.int64)
    back[requests.rows] = np.arange(n)
    added = {
        "retention": pa.array(ranked.retention[back]),
        "adjustment": pa.array(ranked.term[back]),
        "adjusted_score": pa.array(ranked.adjusted[back]),
        "rank_before": pa.array(requests.rank[back].astype(np.int32)),
        "rank_after": pa.array(after[back].astype(np.int32)),
        "reason": _reasons(requests, ranked, after)[back].tolist(),
    }
    columns = scored.drop_columns([name for name in added if name in scored.column_names])
    for name, column in added.items():
        columns = columns.append_column(
            name, column if isinstance(column, pa.Array) else pa.array(column, pa.string())
        )
    return columns


def rank(requests: Requests, rule: Rule) -> Ranked:
    """Apply `rule` to a layout."""
    nobody = np.zeros(len(requests.rows), dtype=bool)
    if isinstance(rule, Capped):
        inner = rank(requests, rule.rule)
        order = capped(requests, inner.order, rule.most)
        return replace(inner, order=order, held=_moved(order, inner.order))
    retention = rule.retention(requests.p_pos, requests.p_neg)
    if isinstance(rule, Constrained):
        mu, order = constrained(requests, rule)
        term = mu[requests.request] * retention
        return Ranked(order, retention, term, requests.z + term, nobody)
    term = np.where(requests.flat[requests.request], 0.0, rule.term(requests.p_pos, requests.p_neg))
    adjusted = requests.z + term
    return Ranked(requests.sorted_by(adjusted), retention, term, adjusted, nobody)


def _moved(order: Ints, other: Ints) -> Bools:
    """Which places (n,) two orders put at different positions."""
    out = np.zeros(len(order), dtype=bool)
    out[order[order != other]] = True
    return out


def _reasons(requests: Requests, ranked: Ranked, after: Ints) -> npt.NDArray[np.object_]:
    """A text for each place (n,), from a few: the numbers stand in the other columns."""
    code = np.where(after != requests.rank, 3, 0)
    code = np.where(ranked.term > 0, 1, np.where(ranked.term < 0, 2, code))
    code = np.where(requests.flat[requests.request], 4, code)
    texts = [text + held for held in ("", _HELD) for text in REASONS]
    return np.asarray(np.array(texts, dtype=object)[code + len(REASONS) * ranked.held])
