"""What is known of an item for a person as it is ranked: a live proxy's features; and lists re-ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.adjust.apply import grid_requests, rank
from tastemaker.retention.adjust.rules import Rule

RECENT = 30  # events of a history that an item is compared with
PRIOR = 10.0  # events' worth of the common rate that a person's or an item's own rate starts from
FLAGS = 12  # attribute values that become a feature of their own
# Known only of a list that was served, not of an item in a history.
SERVED = ("score", "lead", "place")
PERSONAL = ("activity", "user_likes", "user_skips")
PLAIN = (*SERVED, "popularity", "item_likes", "item_skips", "familiar", "co_played", *PERSONAL)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of N items before any request.

    popularity, likes, skips: (N,) log(1 + training events), and smoothed shares of an item's events that were
    likes and skips. attributes: (N, A) 0 or 1; flags: columns of `attributes` that are features of their own,
    named `labels`. co_played: (i, j), i <= j -> how often both stand close together in training histories, as
    rows of `partners` (N,) dictionaries. common: shares of likes and skips among all events.
    """

    popularity: Floats
    likes: Floats
    skips: Floats
    attributes: Floats
    flags: Ints
    labels: tuple[str, ...]
    partners: tuple[Mapping[int, int], ...]
    common: tuple[float, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in order."""
        return (*PLAIN, *self.labels)


@dataclass(frozen=True)
class Person:
    """history: item indices, oldest first; likes, skips, events: counts of what they did."""

    history: Sequence[int] = ()
    likes: int = 0
    skips: int = 0
    events: int = 0


def known_items(
    counts: npt.ArrayLike,
    attributes: Sequence[Sequence[str]],
    items: npt.ArrayLike,
    liked: npt.ArrayLike,
    refused: npt.ArrayLike,
    pairs: Mapping[tuple[int, int], int],
) -> Known:
    """The facts of N items. counts (N,) training events; attributes (N) lists; items (E,) of logged events of
    every kind, and whether each is a like (E,) bool or a refusal (E,) bool; pairs (i, j) -> count.
    """
    n = len(attributes)
    events, likes, skips = np.asarray(items, np.int64), np.asarray(liked, bool), np.asarray(refused, bool)
    total = np.bincount(events, minlength=n)
    liked_of, refused_of = (np.bincount(events[rows], minlength=n) for rows in (likes, skips))
    common = (
        float(smoothed(liked_of.sum(), total.sum(), 0.1)),
        float(smoothed(refused_of.sum(), total.sum(), 0.1)),
    )
    values = sorted({item for own in attributes for item in own})
    place = {value: column for column, value in enumerate(values)}
    table = np.zeros((n, len(values)))
    for row, own in enumerate(attributes):
        table[row, [place[item] for item in own]] = 1.0
    share = table.mean(axis=0) if n else np.zeros(len(values))
    flags = [int(item) for item in np.argsort(-share, kind="stable") if 0.05 <= share[item] <= 0.6][:FLAGS]
    partners: list[dict[int, int]] = [{} for _ in range(n)]
    for (pair, other), count in pairs.items():
        partners[pair][other] = partners[other][pair] = count
    return Known(
        np.log1p(np.asarray(counts, np.float64)),
        smoothed(liked_of, total, common[0]),
        smoothed(refused_of, total, common[1]),
        table,
        np.array(flags, np.int64),
        tuple(f"is {values[flag]}" for flag in flags),
        tuple(partners),
        common,
    )


def smoothed(part: npt.ArrayLike, whole: npt.ArrayLike, prior: float) -> Floats:
    """Shares part / whole drawn towards `prior` by `PRIOR` events' worth of it."""
    return np.asarray(
        (np.asarray(part, np.float64) + PRIOR * prior) / (np.asarray(whole, np.float64) + PRIOR)
    )


def features(known: Known, person: Person, items: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, Floats]:
    """Each feature (n,) in `known.names` of candidates `items` (n,); scores (n,) best first."""
    rows, score = np.asarray(items, np.int64), np.asarray(scores, np.float64)
    own = known.attributes[rows]
    n = len(rows)
    recent = np.asarray(person.history, np.int64)[-RECENT:]
    taste = known.attributes[recent].mean(axis=0) if len(recent) else np.zeros(own.shape[1])
    met = [sum(known.partners[row].get(int(item), 0) for item in recent) for row in rows]
    results = {
        "score": score,
        "lead": score - (score.max() if n else 0.0),
        "place": np.log2(2.0 + np.arange(n)),
        "popularity": known.popularity[rows],
        "item_likes": known.likes[rows],
        "item_skips": known.skips[rows],
        "familiar": own @ taste / np.maximum(1.0, own.sum(axis=1)),
        "co_played": np.log1p(np.array(met, np.float64)),
        "activity": np.full(n, np.log1p(len(person.history))),
        "user_likes": np.full(n, smoothed(person.likes, person.events, known.common[0])),
        "user_skips": np.full(n, smoothed(person.skips, person.events, known.common[1])),
    }
    return results | {label: own[:, column] for label, column in zip(known.labels, known.flags, strict=True)}


def history_features(known: Known, person: Person) -> dict[str, Floats]:
    """Each feature but `SERVED` (E,) of the events of a history, each seen from the events before it."""
    names = [name for name in known.names if name not in SERVED]
    columns: dict[str, list[float]] = {name: [] for name in names}
    for place, item in enumerate(person.history):
        before = Person(tuple(person.history[:place]), person.likes, person.skips, person.events)
        entry = features(known, before, [item], [0.0])
        for name in names:
            columns[name].append(float(entry[name][0]))
    return {name: np.array(values, np.float64) for name, values in columns.items()}


def matrix(values: Mapping[str, Floats], names: Sequence[str], n: int) -> Floats:
    """Features (n, d) in the order of `names`, as a proxy takes them; an attribute that is gone is 0.

    Raises InputError on any other name that is not among `found`.
    """
    columns = []
    for name in names:
        if name not in values and not name.startswith("is "):
            raise InputError(
                f"feature '{name}' is not known here; the features are {', '.join(values)}; fit the proxy"
                " again"
            )
        columns.append(values.get(name, np.zeros(n)))
    return np.column_stack(columns).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Reranked:
    """n candidates of one request. order (n,): candidate at each place; after (n,): place of each, from 0.

    value, term (n,): what the rule looked at, and what it added to the score in median absolute deviations;
    p_pos, p_neg (n,).
    flat: the scores do not vary, so nothing was moved.
    """

    order: Ints
    after: Ints
    value: Floats
    term: Floats
    p_pos: Floats
    p_neg: Floats
    flat: bool


def rerank(score: npt.ArrayLike, p_pos: Floats, p_neg: Floats, rule: Rule) -> Reranked:
    """Apply `rule` to candidates (n,), best first; equal scores keep order. InputError as `grid_requests`."""
    scores = np.asarray(score, np.float64)[None, :]
    requests = grid_requests(scores, p_pos[None, :], p_neg[None, :])
    ranked = rank(requests, rule)
    order = requests.rows[ranked.order]
    after, value, term = np.empty_like(order), np.empty(len(order)), np.empty(len(order))
    after[order] = np.arange(len(order))
    value[requests.rows], term[requests.rows] = ranked.retention, ranked.term
    return Reranked(order, after, value, term, p_pos, p_neg, bool(requests.flat[0]))


def sentence(places: int, p_pos: float, p_neg: float, term: float, flat: bool, source: str) -> str:
    """Why a row stands where it does: places moved up (below 0: down), both shares, the source."""
    if flat:
        return "Kept its place: the scores of this list do not vary, so the survey proxy moved nothing."
    expectation = (
        f"of people asked about such a match, {p_pos:.0%} are expected to say they would return for more,"
        f" {p_neg:.0%} not"
    )
    learnt = f"{expectation}; learnt from {source}."
    if places == 0:
        return f"Kept its place: {learnt}"
    moved = f"Moved {'up' if places > 0 else 'down'} {many(abs(places), 'place')}"
    if (places > 0) != (term > 0):
        moved += " as others around it moved"
    return f"{moved}: {learnt}"
