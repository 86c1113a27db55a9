"""How a data set pursues its goals and speaks: figures over all conversations, each defined."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Match, satisfaction
from tastemaker.converse.language.lexicon import plain
from tastemaker.converse.record import MOVES, Conversation

SAMPLE = 200  # texts of which each is compared with all others
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Pursuit:
    """How the goals are pursued.

    inside, share: by turn number, the share of played items that satisfy the whole goal, and the mean share
    of its demands that they satisfy. moves_inside, moves_outside: shares of MOVES_TOWARD_GOAL among items
    that satisfy the goal and that do not, of `played` items. afresh: share of conversations in which all
    demands that stood are gone after one turn.
    """

    inside: dict[int, float]
    share: dict[int, float]
    moves_inside: float
    moves_outside: float
    played: tuple[int, int]
    afresh: float

    @property
    def gap(self) -> float:
        """P(MOVES | inside) - P(MOVES | outside)."""
        return self.moves_inside - self.moves_outside

    @property
    def text(self) -> str:
        """The figures as lines."""
        turns = " ".join(f"{self.inside[turn]:.2f}" for turn in sorted(self.inside))
        shares = " ".join(f"{self.share[turn]:.2f}" for turn in sorted(self.share))
        return (
            f"goal: played items that satisfy all of it, by turn {turns}; mean share of its demands"
            f" {shares}\nlabels: MOVES on {self.moves_inside:.3f} of {self.played[0]:,} items inside the goal"
            f" and on {self.moves_outside:.3f} of {self.played[1]:,} outside, difference {self.gap:.3f};"
            f" conversations that start over {self.afresh:.1%}"
        )


def pursuit(conversations: Sequence[Conversation], catalogue: Catalogue, match: Match) -> Pursuit | None:
    """The figures of data sets that keep their goals' demands; None for older ones."""
    talks = [talk for talk in conversations if talk.goal.demands]
    if not talks:
        return None
    inside: dict[int, list[float]] = {}
    shares: dict[int, list[float]] = {}
    labels: Counter[tuple[bool, bool]] = Counter()
    for talk in talks:
        satisfied = satisfaction(talk.goal.demands, match, len(catalogue))
        for turn in talk.turns:
            if turn.item_id is None or turn.item_id not in catalogue.row:
                continue
            value = float(satisfied[catalogue.row[turn.item_id]])
            shares.setdefault(turn.turn, []).append(value)
            inside.setdefault(turn.turn, []).append(float(value >= 1.0))
            labels[value >= 1.0, talk.label(turn.turn) == MOVES] += 1
    counts = {within: labels[within, True] + labels[within, False] for within in (True, False)}
    rate = {within: labels[within, True] / max(counts[within], 1) for within in (True, False)}
    return Pursuit(
        {turn: float(np.mean(values)) for turn, values in sorted(inside.items())},
        {turn: float(np.mean(values)) for turn, values in sorted(shares.items())},
        rate[True],
        rate[False],
        (counts[True], counts[False]),
        float(np.mean([_starts_over(talk) for talk in talks])),
    )


def _starts_over(talk: Conversation) -> bool:
    """Whether one turn drops the fields of all demands that stood, two at least."""
    standing: set[str] = set()
    for turn in talk.turns:
        dropped = {change.clause.field for change in turn.delta if change.op == "drop"}
        if len(standing) > 1 and standing <= dropped:
            return True
        standing = (standing - dropped) | {c.clause.field for c in turn.delta if c.op != "drop"}
    return False


@dataclass(frozen=True)
class Speech:
    """How one side speaks. openings: different first four words; distinct: share of different n-grams, n =
    1..4; self_bleu: mean BLEU-4 of each of
    200 texts against the others; repeats: share of texts that are another's copy; words: different words
    without values, titles and numbers.
    """

    texts: int
    openings: int
    distinct: tuple[float, ...]
    self_bleu: float
    repeats: float
    words: int

    @property
    def text(self) -> str:
        """The figures as a line."""
        shares = " ".join(f"{value:.3f}" for value in self.distinct)
        return (
            f"{self.texts:,} texts, {self.openings:,} first four words, distinct-1..4 {shares}, self-BLEU-4"
            f" {self.self_bleu:.3f}, exact repeats {self.repeats:.1%}, {self.words:,} words without values,"
            " titles, numbers"
        )


def tokens(text: str) -> list[str]:
    """Words and marks in small letters."""
    return _TOKEN.findall(text.lower())


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*[words[start:] for start in range(n)], strict=False))


def speech(texts: Sequence[str], catalogue: Catalogue) -> Speech:
    """The figures of one side's texts, which must not be empty."""
    split = [tokens(text) for text in texts]
    distinct = []
    for n in range(1, 5):
        grams = [gram for words in split for gram in _grams(words, n)]
        distinct.append(len(set(grams)) / max(len(grams), 1))
    long = [words for words in split if len(words) >= 4]
    sample = random.Random(0).sample(long, min(SAMPLE, len(long)))
    values = sorted(
        {plain(value.replace("_", " ")) for field in catalogue.fields.values() for value in field.values},
        key=len,
        reverse=True,
    )
    pattern = re.compile("|".join(rf"(?<![\w/]){re.escape(value)}(?![\w/])" for value in values) or "(?!)")
    bare = [re.sub(r"[“\"][^”\"]*[”\"]|\d+(?:\.\d+)?", " ", text) for text in texts]
    words = {word for text in bare for word in re.findall(r"[^\W\d_]+", pattern.sub(" ", text).lower())}
    begun = len({" ".join(text.split()[:4]) for text in texts})
    return Speech(
        len(texts), begun, tuple(distinct), self_bleu(sample), 1 - len(set(texts)) / len(texts), len(words)
    )


def self_bleu(sample: Sequence[Sequence[str]]) -> float:
    """Mean BLEU-4 (Papineni et al. 2002, no smoothing but 1e-9) of each text against all others."""
    if len(sample) < 2:
        return float("nan")
    best = []  # of each order: gram -> the two largest counts, and whose the largest is
    for n in range(1, 5):
        most: dict[tuple[str, ...], tuple[int, int, int]] = {}
        for place, words in enumerate(sample):
            for gram, count in Counter(_grams(words, n)).items():
                first, whose, second = most.get(gram, (0, -1, 0))
                if count > first:
                    most[gram] = (count, place, first)
                elif count > second:
                    most[gram] = (first, whose, count)
        best.append(most)
    lengths = [len(words) for words in sample]
    return float(np.mean([_bleu(place, sample, best, lengths) for place in range(len(sample))]))


def _bleu(place: int, sample: Sequence[Sequence[str]], best: Sequence[Any], lengths: Sequence[int]) -> float:
    words, precisions = sample[place], []
    for n, most in enumerate(best, start=1):
        grams = Counter(_grams(words, n))
        hits = 0
        for gram, count in grams.items():
            first, whose, second = most[gram]
            hits += min(count, second if whose == place else first)
        precisions.append((hits or 1e-9) / max(sum(grams.values()), 1))
    others = (length for at, length in enumerate(lengths) if at != place)
    closest = min((abs(length - len(words)), length) for length in others)[1]
    brevity = 1.0 if len(words) > closest else math.exp(1 - closest / len(words))
    return brevity * math.exp(sum(map(math.log, precisions)) / 4)


def openings(conversations: Sequence[Conversation]) -> int:
    """How many different first four words the conversations have."""
    return len({" ".join(talk.turns[0].message.split()[:4]) for talk in conversations if talk.turns})
