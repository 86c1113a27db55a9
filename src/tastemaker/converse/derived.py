"""Fields that follow from others and from titles: how many values an item has, what sort of thing it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tastemaker.converse.catalogue import TITLE, Value
from tastemaker.converse.reading.surfaces import COUNT, KINDS
from tastemaker.converse.reading.words import chat, english, fold, stop_words

FEWEST, SHARE, COVERED, COMMON, LONGEST = 3, 0.003, 0.5, 0.8, 5  # of items, and words of a title
# Words of when a thing is, and not of what.
_TIMES = [
    "day",
    "days",
    "night",
    "week",
    "weekend",
    "month",
    "year",
    "morning",
    "evening",
    "season",
]
MANY, MOST_HEADS, _SIZES = 50, 400, (1, 2, 3)  # items and heads, and words of a head
_TAIL = re.compile(r"\s[-–—|]\s.*|[,(\[:/;].*|[\W\d_]+$")  # behind what a thing is: "(m/f/d)", "- Lyon", "12"


def derived(columns: Mapping[str, tuple[Value, ...]], titles: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Columns, and what follows from them and from titles, by field."""
    heads = _heads(columns, titles)
    return {**columns, **_counts(columns), **({TITLE: heads} if heads and TITLE not in columns else {})}


def _counts(columns: Mapping[str, tuple[Value, ...]]) -> dict[str, tuple[Value, ...]]:
    """How many values items have of fields of several, where that tells them apart: ingredients."""
    counts: dict[str, tuple[Value, ...]] = {}
    for name, column in columns.items():
        sizes = [len(value) for value in column if isinstance(value, tuple)]
        if len(set(sizes)) > 2 and max(sizes) > 3 and not KINDS.search(name) and name + COUNT not in columns:
            counts[name + COUNT] = tuple(
                float(len(value)) if isinstance(value, tuple) else None for value in column
            )
    return counts


def _heads(columns: Mapping[str, tuple[Value, ...]], titles: Sequence[str]) -> tuple[Value, ...]:
    """What most titles end in, where these are short and their ends recur: Senior Nurse is a Nurse, a rice
    stew a stew. None where they do not, as those of films and songs, or where another field says so.
    """
    known = {
        fold(word)
        for column in columns.values()
        for value in column
        if isinstance(value, str | tuple)
        for word in (value if isinstance(value, tuple) else (value,))
    }
    known |= {f"{word}s" for word in known} | {word.removesuffix("s") for word in known}
    words = [_TAIL.sub("", title).split() for title in titles]
    if not words or sorted(map(len, words))[len(words) // 2] > LONGEST:
        return ()
    ends = [[end for n in _SIZES if len(row) >= n and _telling(end := " ".join(row[-n:]))] for row in words]
    counts = Counter(fold(end) for row in ends for end in row)
    fewest = max(FEWEST, SHARE * len(titles))
    total = Counter(fold(" ".join(row[-n:])) for row in set(map(tuple, words)) for n in _SIZES[: len(row)])
    alone = len(titles) >= MANY and 2 * len(set(map(tuple, words))) <= len(titles)  # titles that come back
    spelt = Counter(
        end for row in ends for end in row if counts[fold(end)] >= fewest and (total[fold(end)] > 1 or alone)
    )
    names = {fold(end): end for end, _ in reversed(spelt.most_common())}
    heads = [tuple(names[fold(end)] for end in row if fold(end) in names) for row in ends]
    if sum(map(bool, heads)) < COVERED * len(titles) or len(names) > MOST_HEADS:
        return ()
    known |= {end for end, count in counts.items() if count > COMMON * len(titles)}  # what all are
    fresh = [tuple(head for head in row if not known & {fold(head), *fold(head).split()}) for row in heads]
    return tuple(row or None for row in fresh) if any(fresh) else ()


def _telling(end: str) -> bool:
    """Whether the end of a title may say what a thing is: no words that say nothing, no numbers."""
    first, *_ = every = fold(end).split() or [""]
    small = chat() | stop_words() | {*fold(" ".join(english()["days"].values())).split(), *_TIMES}
    return len(every[-1]) > 2 and every[-1] not in small and first not in stop_words() and end[-1].isalpha()
