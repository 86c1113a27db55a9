"""What a data set gives away: how much the choice of items tells without a word (the leak of data made from
real sessions), and whether what is learnt and what is asked carry the same labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Constraint, Match, adhere, fit_set, merge
from tastemaker.converse.record import MOVES, Conversation
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval, paired_bootstrap
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import ndcg_at

SMALL_POOL = 5
MOST_IDENTIFIED = 0.01
MOST_RECOVERED = 0.05
SAMPLED = 40  # of what fits, when more does
Scores = Callable[[Sequence[int]], npt.NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class TurnQuery:
    """A turn to answer. conversation: its number; target: row played or None; played: rows before it.

    excluded: rows of families played before; fits: F_t, rows that satisfy what was asked, not excluded.
    """

    conversation: int
    turn: int
    target: int | None
    accepted: bool
    played: tuple[int, ...]
    excluded: npt.NDArray[np.int64]
    fits: npt.NDArray[np.int64]


def turn_queries(
    number: int, conversation: Conversation, catalogue: Catalogue, match: Match
) -> list[TurnQuery]:
    """The queries of a conversation by turn; constraints serve `fits` alone, no ranker sees them."""
    active: Sequence[Constraint] = ()
    played: list[int] = []
    queries = []
    for turn in conversation.turns:
        active = merge(active, turn.delta)
        families = catalogue.family_codes[np.array(played, np.int64)]
        holds = adhere(active, match, len(catalogue)).holds
        target = None if turn.item_id is None else catalogue.row[turn.item_id]
        queries.append(
            TurnQuery(
                conversation=number,
                turn=turn.turn,
                target=target,
                accepted=conversation.label(turn.turn) == MOVES,
                played=tuple(played),
                excluded=np.flatnonzero(np.isin(catalogue.family_codes, families)),
                fits=fit_set(holds, catalogue.family_codes, set(families.tolist())),
            )
        )
        if target is not None:
            played.append(target)
    return queries


@dataclass(frozen=True)
class Played:
    """Rows a conversation played in order, its user, and of each the rows that fitted (F_t) if known."""

    rows: tuple[int, ...]
    user: int
    fits: tuple[npt.NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class PoolAudit:
    """identified: share of conversations whose source is among at most 5 users who had all the played items.

    recovered: nDCG@20 of co-occurrence with the played items, no words, minus what it would be if each item
    had been a uniform choice of what fitted (so that what a request itself tells is no leak; minus popularity
    where F_t is not known), over conversations.
    """

    conversations: int
    identified: float
    recovered: Interval
    cooccurrence: float
    popularity: float

    @property
    def ok(self) -> bool:
        """Both gates: identified at most 1 %, upper 95 % bound of recovered at most .05."""
        return self.identified <= MOST_IDENTIFIED and self.recovered.high <= MOST_RECOVERED


def identified(
    played: Sequence[Played], histories: Sequence[npt.NDArray[np.int64]], n_items: int
) -> npt.NDArray[np.bool_]:
    """(C,) whether the source is among the users, at most 5, whose log holds every played item."""
    lengths = [len(history) for history in histories]
    owners = np.repeat(np.arange(len(histories)), lengths)
    items = np.concatenate([*histories, np.empty(0, np.int64)])
    had = sparse.csr_array((np.ones(len(items)), (owners, items)), shape=(len(histories), n_items))
    had.data[:] = 1.0
    out = np.zeros(len(played), bool)
    for place, conversation in enumerate(played):
        rows = sorted(set(conversation.rows))
        if rows:
            columns = (had[:, rows] > 0).sum(axis=1)
            matches = np.flatnonzero(np.asarray(columns).ravel() == len(rows))
            out[place] = len(matches) <= SMALL_POOL and conversation.user in matches
    return out


def rank_of(scores: npt.NDArray[np.floating], target: int, before: Sequence[int]) -> float:
    """Rank of the target among rows not played yet; ties share their mean place and give nothing away."""
    free = np.ones(len(scores), bool)
    free[list(before)] = False
    value, others = scores[target], scores[free]
    return float((others > value).sum() + ((others == value).sum() + 1) / 2)


def recoverability(rows: Sequence[int], scores: Scores) -> float | None:
    """Mean nDCG@20 of items after the first, by `scores(items before)`; None below two."""
    if len(rows) < 2:
        return None
    ranks = [
        rank_of(np.asarray(scores(rows[:place])), rows[place], rows[:place]) for place in range(1, len(rows))
    ]
    return float(np.mean(ndcg_at(ranks, 20)))


def by_chance(conversation: Played, scores: Scores, seed: int) -> float | None:
    """As `recoverability`, if each item had been a uniform choice of what fitted its turn."""
    rows = conversation.rows
    if len(rows) < 2:
        return None
    rng, values = generator("uniform choice", seed, *rows), []
    for place in range(1, len(rows)):
        known = np.asarray(scores(rows[:place]))
        fits = conversation.fits[place]
        drawn = fits if len(fits) <= SAMPLED else rng.choice(fits, SAMPLED, replace=False)
        ranks = [rank_of(known, int(row), rows[:place]) for row in drawn]
        values.append(float(np.mean(ndcg_at(ranks, 20))) if ranks else 0.0)
    return float(np.mean(values))


def pool_audit(
    played: Sequence[Played],
    histories: Sequence[npt.NDArray[np.int64]],
    n_items: int,
    together: Scores,
    popular: npt.NDArray[np.floating],
    seed: int = 0,
) -> PoolAudit:
    """Re-identification and text-free recoverability. together: scores (N,) of items by co-occurrence with
    rows played before.

    Raises InputError when no conversation played two items.
    """
    pairs = [
        (
            recoverability(conversation.rows, together),
            (
                by_chance(conversation, together, seed)
                if conversation.fits
                else recoverability(conversation.rows, lambda before: popular)
            ),
        )
        for conversation in played
    ]
    scored = [(first, second) for first, second in pairs if first is not None and second is not None]
    if not scored:
        raise InputError(
            "the pool audit needs conversations that played at least two items; generate some first"
        )
    first, second = np.array(scored).T
    share = float(identified(played, histories, n_items).mean())
    interval = paired_bootstrap(first, second, f"pool audit {seed}")
    return PoolAudit(len(played), share, interval, float(first.mean()), float(second.mean()))


LEAST_P = 0.01
DRAWS = 1999


@dataclass(frozen=True)
class Shift:
    """Shares of each label in both parts, Pearson's chi-square, its p-value over redrawn splits."""

    labels: tuple[str, ...]
    train: tuple[float, ...]
    test: tuple[float, ...]
    statistic: float
    p: float
    groups: int

    @property
    def ok(self) -> bool:
        """No evidence of a shift: p above .01."""
        return self.p > LEAST_P


def label_shift(
    counts: npt.ArrayLike, test: npt.ArrayLike, labels: Sequence[str], seed: int = 0, draws: int = DRAWS
) -> Shift:
    """Chi-square test of part by label, its distribution taken from redrawing which groups are asked.

    Labels of one user go together, so that the chi-square distribution, which takes them for independent,
    would find shifts where there are none (Rao & Scott 1981); redrawing whole groups, as the split did, keeps
    the level exactly.

    counts: (G, K) how often each group (user) has each label.
    test: (G,) whether the group is asked; the others are learnt from.

    Raises InputError when one part has no label.
    """
    table, in_test = np.asarray(counts, np.float64), np.asarray(test, bool)
    parts = np.stack([table[~in_test].sum(axis=0), table[in_test].sum(axis=0)])
    if not parts.sum(axis=1).all():
        raise InputError("the label test needs labels in both parts; generate more conversations")
    rng = generator(seed, "label shift")
    drawn = np.stack([rng.permutation(in_test) for _ in range(draws)]).astype(np.float64) @ table
    total = table.sum(axis=0)
    statistic = float(_chi_square(parts[1][None], total)[0])
    extreme = int((_chi_square(drawn, total) >= statistic * (1 - 1e-12)).sum())
    shares = parts / parts.sum(axis=1, keepdims=True)
    return Shift(
        tuple(labels),
        tuple(shares[0].tolist()),
        tuple(shares[1].tolist()),
        statistic,
        (1 + extreme) / (1 + draws),
        len(table),
    )


def _chi_square(second: npt.NDArray[np.float64], total: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pearson's statistic of 2 x K tables of rows (total - second, second), without empty labels."""
    tables = np.stack([total - second, second], axis=1)
    expected = tables.sum(axis=2, keepdims=True) * total / total.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.where(expected > 0, np.square(tables - expected) / expected, 0.0).sum(axis=(1, 2))
        )
