"""Music-CRS: targets, predictions, and the official metrics re-implemented from their definitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.converse.exports import pseudonym
from tastemaker.converse.record import Conversation
from tastemaker.errors import InputError
from tastemaker.stats.ranking import ndcg_at

MOST_ITEMS = 20
CUTS = (1, 10, 20)
VERSION = "distinct-2, nDCG by sessions then turns"


@dataclass(frozen=True)
class Target:
    """The one right item of a turn."""

    session_id: str
    user_id: str
    turn_number: int
    item_id: str


@dataclass(frozen=True)
class Prediction:
    """What a system answered at a turn: at most 20 items, best first, and its words."""

    session_id: str
    user_id: str
    turn_number: int
    predicted_track_ids: tuple[str, ...]
    predicted_response: str


def targets(conversations: Iterable[Conversation], key: str) -> list[Target]:
    """Every turn that played something, under the names of the TalkPlay export."""
    return [
        Target(
            pseudonym("session", conversation.conversation_id, key),
            pseudonym("user", conversation.user_id, key),
            turn.turn,
            turn.item_id,
        )
        for conversation in conversations
        for turn in conversation.turns
        if turn.item_id is not None
    ]


def read_predictions(
    rows: Sequence[Mapping[str, Any]],
    file: str,
    wanted: Sequence[Target],
    catalogue: frozenset[str] | None = None,
    blind: bool = False,
) -> list[Prediction]:
    """Predictions in the order of `wanted`, checked.

    Raises InputError naming file and record, with the remedy: a missing field or turn, a turn answered twice
    or not asked, an item twice, more than 20 items, an item that is not in the catalogue, and, in a blind
    phase, an empty reply.
    """
    answers: dict[tuple[str, int], Prediction] = {}
    due = {(target.session_id, target.turn_number) for target in wanted}
    for number, row in enumerate(rows, start=1):
        where = f"{file}, record {number}"
        answer = _prediction(row, where, catalogue, blind)
        turn = (answer.session_id, answer.turn_number)
        if turn in answers:
            raise InputError(f"{where}: session {turn[0]} turn {turn[1]} is answered twice; keep one of them")
        if turn not in due:
            raise InputError(
                f"{where}: session {turn[0]} turn {turn[1]} was not asked for; remove the record"
            )
        answers[turn] = answer
    missing = [target for target in wanted if (target.session_id, target.turn_number) not in answers]
    if missing:
        first = missing[0]
        raise InputError(
            f"{file}, after record {len(rows)}: session {first.session_id} turn {first.turn_number} has no"
            f" prediction ({len(missing)} of {len(wanted)} are missing); answer every turn, if with an empty"
            " list"
        )
    return [answers[target.session_id, target.turn_number] for target in wanted]


def _prediction(
    row: Mapping[str, Any], where: str, catalogue: frozenset[str] | None, blind: bool
) -> Prediction:
    if not isinstance(row, dict):
        raise InputError(f"{where}: is no JSON object; write one prediction an object")
    for name in Prediction.__dataclass_fields__:
        if name not in row:
            raise InputError(
                f"{where}: field '{name}' is missing; every record has"
                f" {', '.join(Prediction.__dataclass_fields__)}"
            )
    track_ids, reply = row["predicted_track_ids"], row["predicted_response"]
    ids = isinstance(track_ids, list | tuple) and {*map(type, track_ids)} <= {str}
    for name, right, wanted in (
        ("session_id", isinstance(row["session_id"], str), "text"),
        ("turn_number", str(row["turn_number"]).isdecimal(), "a whole number"),
        ("predicted_track_ids", ids, "a list of ids"),
        ("predicted_response", isinstance(reply, str), "text"),
    ):
        if not right:
            raise InputError(f"{where}: '{name}' is {str(row[name])[:40]!r}; give {wanted}")
    items = tuple(track_ids)
    if len(items) > MOST_ITEMS:
        raise InputError(f"{where}: {len(items)} items predicted; give at most {MOST_ITEMS}")
    if len(set(items)) != len(items):
        twice = next(item for item, count in Counter(items).items() if count > 1)
        raise InputError(f"{where}: item '{twice}' is predicted twice; name each item once")
    unknown = [item for item in items if catalogue is not None and item not in catalogue]
    if unknown:
        raise InputError(f"{where}: item '{unknown[0]}' is not in the catalogue; predict items that are")
    if blind and not reply.strip():
        raise InputError(f"{where}: the reply is empty; a blind phase needs words in predicted_response")
    return Prediction(row["session_id"], row["user_id"], int(row["turn_number"]), items, reply)


def rank_in(items: Sequence[str], target: str) -> int:
    """Rank of the target from 1; 0 when it is not there."""
    return items.index(target) + 1 if target in items else 0


def by_turn(turns: Sequence[int], values: Floats | Sequence[float]) -> float:
    """Mean over sessions within a turn number, then over turn numbers."""
    groups: dict[int, list[float]] = {}
    for turn, value in zip(turns, values, strict=True):
        groups.setdefault(turn, []).append(value)
    return float(np.mean([np.mean(group) for group in groups.values()])) if groups else 0.0


def distinct_two(replies: Iterable[str]) -> float:
    """Distinct over all bigrams of replies, lower-cased, cut at blanks, one-word ones skipped; 0 if none."""
    pairs = []
    for reply in replies:
        words = reply.lower().split()
        pairs += list(pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def catalogue_diversity(predicted: Iterable[Sequence[str]], n_items: int) -> float:
    """Distinct items predicted anywhere, over the size of the catalogue."""
    return len({item for items in predicted for item in items}) / n_items


def evaluate(wanted: Sequence[Target], predictions: Sequence[Prediction], n_items: int) -> dict[str, float]:
    """nDCG at 1, 10, 20, catalogue and lexical diversity of predictions, in the order of `wanted`."""
    ranks = [
        rank_in(answer.predicted_track_ids, target.item_id)
        for answer, target in zip(predictions, wanted, strict=True)
    ]
    turns = [target.turn_number for target in wanted]
    result = {f"ndcg@{k}": by_turn(turns, ndcg_at(ranks, k)) for k in CUTS}
    result["catalogue_diversity"] = catalogue_diversity(
        (answer.predicted_track_ids for answer in predictions), n_items
    )
    result["lexical_diversity"] = distinct_two(answer.predicted_response for answer in predictions)
    return result
