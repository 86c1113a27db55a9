"""What people did as token sequences: for training, and as the prompt when serving.

Both have one layout, `[bos] line item item ...`, an item being its Semantic ID and, if asked for, its title
after it, so that a model is asked when serving exactly what it was trained on. A title never stands before
its own Semantic ID, where it would give the answer away, and nothing is learnt on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.events import Bools, Histories, Ints
from tastemaker.corpus.mixing import pack
from tastemaker.lm.vocabulary import TextEncoder, Vocabulary
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class Words:
    """What a pretrained base reads beside Semantic IDs: `line` tokens before a history, and after the codes
    of item i its title, `titles[offsets[i]:offsets[i + 1]]`, offsets (N + 1,).
    """

    line: Ints
    titles: Ints
    offsets: Ints

    @classmethod
    def of(cls, line: str, titles: Sequence[str | None], longest: int, encode: TextEncoder) -> Words | None:
        """Titles (N,) cut to `longest` tokens; None where there is nothing to read."""
        if not line and not longest:
            return None
        rows = [encode(f" {title}")[:longest] if title and longest else [] for title in titles]
        offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        before = np.array(encode(line) if line else [], np.int64)
        return cls(before, np.array([token for row in rows for token in row], np.int64), offsets)


def behaviour_examples(
    train: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    max_items: int = 50,
    targets: Bools | None = None,
    words: Words | None = None,
) -> pa.Table:
    """One sequence a user with loss on every Semantic-ID token: each prefix of a history is an example.

    A history longer than `max_items` becomes several windows that end at its last event, half of `max_items`
    apart; where they overlap, only the window that sees more of the past has the loss, so every event is
    learnt exactly once.

    train: training histories; users without events are skipped.
    codes: (N, L) Semantic ID of each item.
    vocabulary: where the tokens live.
    max_items: events in one sequence at most.
    targets: (E,) events with loss, all if None; the others are context alone, and a window without any is
        left out.
    words: what stands beside the Semantic IDs.

    Returns EXAMPLES table, source "behaviour".
    """
    start, stop, learn_from = _cut(train, max_items, targets)
    tokens, events, offsets = _layout(train, codes, vocabulary, (start, stop), words)
    loss = events >= np.repeat(learn_from, np.diff(offsets))
    return pack(tokens, loss if targets is None else loss & targets[events], offsets, "behaviour")


@dataclass(frozen=True, eq=False)
class Windows:
    """Histories cut to what a model reads at once: items (T,) indices, target (T,) what is to be predicted,
    offsets (W + 1,), marks (T,) of the events, or None.
    """

    items: Ints
    target: Bools
    offsets: Ints
    marks: Ints | None = None


def windows(train: Histories, max_items: int = 50, targets: Bools | None = None) -> Windows:
    """The windows of `behaviour_examples`, one position an item."""
    start, stop, learn_from = _cut(train, max_items, targets)
    events = _ragged(start, stop - start)
    target = events >= np.repeat(learn_from, stop - start)
    offsets = np.concatenate([[0], np.cumsum(stop - start)]).astype(np.int64)
    target = target if targets is None else target & targets[events]
    return Windows(train.items[events], target, offsets, None if train.marks is None else train.marks[events])


def _cut(train: Histories, max_items: int, targets: Bools | None) -> tuple[Ints, Ints, Ints]:
    """Of each window: its first event, the one after its last, and the first one with loss."""
    stride = max(1, max_items // 2)  # events between two windows of one user
    extra = np.maximum(train.lengths - max_items, 0)
    count = np.where(train.lengths > 0, 1 - (-extra // stride), 0)
    owners = np.repeat(np.arange(len(train)), count)
    back = np.repeat(count, count) - 1 - _ragged(np.zeros_like(count), count)  # oldest window first
    stop = train.offsets[1:][owners] - back * stride
    begin = train.offsets[:-1][owners]
    start = np.maximum(stop - max_items, begin)
    learn_from = np.where(start == begin, start, np.maximum(stop - stride, start))
    if targets is None:
        return start, stop, learn_from
    before = np.concatenate([[0], np.cumsum(targets)])
    mask = before[stop] > before[learn_from]
    return start[mask], stop[mask], learn_from[mask]


def thinned(train: Histories, most: float, seed: int | str, copy: int) -> Histories:
    """A copy of the histories with random events left out: each user at a rate drawn from U(0, `most`), anew
    for each `copy`.

    What follows what then varies between passes, which holds back memorising on small logs. A user with up to
    three events, or fewer than two left, keeps all.
    """
    rng = generator(seed, "thinned", copy)
    rates = np.repeat(rng.random(len(train)) * most, train.lengths)
    keep = rng.random(len(train.items)) >= rates
    remaining = np.bincount(train.user_rows[keep], minlength=len(train))
    exempt = (remaining < 2) | (train.lengths <= 3)
    return train.keep_events(keep | np.repeat(exempt, train.lengths))


def context_tokens(
    context: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    max_items: int = 50,
    words: Words | None = None,
) -> tuple[Ints, Ints]:
    """The prompt of each history: `[bos]`, the line of `words`, and the last `max_items` events.

    Returns tokens, (U, C) int64, padded with `pad` on the right; C is the longest prompt; lengths, (U,)
    tokens of each prompt, at least 1 (an empty history is `[bos]`).
    """
    stop = context.offsets[1:]
    start = np.maximum(stop - max_items, context.offsets[:-1])
    flat, _, offsets = _layout(context, codes, vocabulary, (start, stop), words)
    lengths = np.diff(offsets)
    tokens = np.full((len(context), int(lengths.max(initial=0))), vocabulary.special("pad"), dtype=np.int64)
    tokens[np.repeat(np.arange(len(context)), lengths), _ragged(np.zeros_like(lengths), lengths)] = flat
    return tokens, lengths


def _ragged(start: Ints, sizes: Ints) -> Ints:
    """start[0], start[0] + 1, ... (sizes[0] numbers), then start[1], ...: ranges without a loop."""
    ends = np.cumsum(sizes)
    return np.asarray(
        np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - sizes), sizes),
        dtype=np.int64,
    )


def _layout(
    h: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    windows: tuple[Ints, Ints],
    words: Words | None,
) -> tuple[npt.NDArray[np.int32], Ints, Ints]:
    """Tokens (T,) of windows [start, stop) over events, each begun by `bos`; the event of each token (T,), -1
    for what is no Semantic ID; offsets (W + 1,).
    """
    start, stop = windows
    sizes, levels = stop - start, codes.shape[1]
    index, line = _ragged(start, sizes), np.empty(0, np.int64) if words is None else words.line
    items = h.items[index]
    spoken = np.zeros(len(index), np.int64) if words is None else np.diff(words.offsets)[items]
    ends = np.concatenate([[0], np.cumsum(levels + spoken)]).astype(np.int64)
    head = 1 + len(line)
    offsets = ends[np.concatenate([[0], np.cumsum(sizes)])] + head * np.arange(len(sizes) + 1)
    tokens = np.full(int(offsets[-1]), vocabulary.special("bos"), dtype=np.int32)
    events = np.full(len(tokens), -1, dtype=np.int64)
    first = ends[:-1] + head * (1 + np.repeat(np.arange(len(sizes)), sizes))
    place = (first[:, None] + np.arange(levels)).ravel()
    tokens[place] = vocabulary.sid_tokens(codes)[items].ravel()
    events[place] = np.repeat(index, levels)
    if words is not None:
        tokens[(offsets[:-1, None] + 1 + np.arange(len(line))).ravel()] = np.tile(line, len(sizes))
        tokens[_ragged(first + levels, spoken)] = words.titles[_ragged(words.offsets[items], spoken)]
    return tokens, events, offsets
