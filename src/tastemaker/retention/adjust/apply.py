"""`adjust`: one rule applied to scored candidates, with by how much and why in every row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.adjust.order import capped, constrained, diverse
from tastemaker.retention.adjust.requests import Floats, Ints, Requests, grid_requests, read_requests
from tastemaker.retention.adjust.rules import Capped, Constrained, Mmr, Rule
from tastemaker.retention.adjust.similarity import Similarity

REASONS = (
    "unchanged",
    "raised: likely to bring the person back",
    "lowered: unlikely to bring the person back",
    "moved by the items around it",
    "left alone: the scores of this request do not vary",
)
_APART, _HELD = "; set apart from similar items", "; held near its place"


@dataclass(frozen=True)
class Ranked:
    """Places (n,) in their new order, with retention, term and adjusted score (n,) of each place; who was set
    apart or held.
    """

    order: Ints
    retention: Floats
    term: Floats
    adjusted: Floats
    apart: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]

    @property
    def position(self) -> Ints:
        """Where each place (n,) went, counted over all requests."""
        out = np.empty_like(self.order)
        out[self.order] = np.arange(len(self.order))
        return out


def adjust(scored: pa.Table, rule: Rule, standardise: bool = True) -> pa.Table:
    """Re-rank every request of `scored` by `rule`; rows stay in their order, none is dropped.

    scored: request_id, item_id, score, p_pos, optionally p_neg (1 - p_pos where absent), and attributes or
    vector for `Mmr`.
    standardise: score in median absolute deviations of its request, so that the rule means the same on a
    drifting score scale; False adds to the raw score (as published). Adds `retention` (what the rule looked
    at), `adjustment` (what it added, in units of the score it was added to), `adjusted_score`, `rank_before`
    and `rank_after` (from 1; equal scores in the order of item_id), and `reason`. The order is `rank_after`:
    caps and diversity move items beyond their score. A request whose scores do not vary (MAD 0) is left alone
    and says so. Raises InputError as `read_requests`, and without similarities for `Mmr`.
    """
    requests = read_requests(scored, standardise)
    ranked = rank(requests, rule, scored)
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


def grid_ranks(score: Floats, p_pos: Floats, p_neg: Floats, rule: Rule, standardise: bool = True) -> Ints:
    """New ranks (Q, n), from 1, of Q requests with n candidates each, given as arrays (Q, n): `adjust`
    without the table.

    For simulations and servers that hold arrays. `Mmr` is refused: arrays carry no attributes. Raises
    InputError as told there and by `grid_requests`.
    """
    requests = grid_requests(score, p_pos, p_neg, standardise)
    ranked = rank(requests, rule, None)
    out = np.empty(score.size, dtype=np.int64)
    out[requests.rows] = ranked.position - requests.offsets[requests.request] + 1
    return out.reshape(score.shape)


def rank(requests: Requests, rule: Rule, scored: pa.Table | None) -> Ranked:
    """Apply `rule` to a layout; `scored` is the table it was made of, where there is one."""
    nobody = np.zeros(len(requests.rows), dtype=bool)
    if isinstance(rule, Capped):
        inner = rank(requests, rule.rule, scored)
        order = capped(requests, inner.order, rule.most)
        return replace(inner, order=order, held=_moved(order, inner.order))
    if isinstance(rule, Mmr):
        if rule.rule is None:
            base = np.zeros(len(requests.rows))
            inner = Ranked(np.arange(len(base)), requests.p_pos, base, requests.z, nobody, nobody)
        else:
            inner = rank(requests, rule.rule, scored)
        if scored is None:
            raise InputError("Mmr needs the attributes or vectors of a table; use `adjust`")
        order = diverse(requests, inner.adjusted, Similarity.of(scored), rule.balance)
        return replace(inner, order=order, apart=_moved(order, inner.order))
    retention = rule.retention(requests.p_pos, requests.p_neg)
    if isinstance(rule, Constrained):
        mu, order = constrained(requests, rule)
        term = mu[requests.request] * retention
        return Ranked(order, retention, term, requests.z + term, nobody, nobody)
    term = np.where(requests.flat[requests.request], 0.0, rule.term(requests.p_pos, requests.p_neg))
    adjusted = requests.z + term
    return Ranked(requests.sorted_by(adjusted), retention, term, adjusted, nobody, nobody)


def _moved(order: Ints, other: Ints) -> npt.NDArray[np.bool_]:
    """Which places (n,) two orders put at different positions."""
    out = np.zeros(len(order), dtype=bool)
    out[order[order != other]] = True
    return out


def _reasons(requests: Requests, ranked: Ranked, after: Ints) -> npt.NDArray[np.object_]:
    """A text for each place (n,), from a few: the numbers stand in the other columns."""
    code = np.where(after != requests.rank, 3, 0)
    code = np.where(ranked.term > 0, 1, np.where(ranked.term < 0, 2, code))
    code = np.where(requests.flat[requests.request], 4, code)
    texts = [text + apart + held for held in ("", _HELD) for apart in ("", _APART) for text in REASONS]
    return np.asarray(np.array(texts, dtype=object)[code + len(REASONS) * (ranked.apart + 2 * ranked.held)])
