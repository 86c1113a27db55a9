"""What people did as token sequences: for continued pre-training, for fine-tuning, and as the prompt when
serving.

All three have one layout, `[bos] event event ...`, an event being its Semantic ID and then its feature
tokens, so that a model is asked when serving exactly what it was trained on. No text of any item appears
here: a title beside its own Semantic ID in a behaviour task would give the answer away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.events import Bools, Floats, Histories, Ints
from tastemaker.corpus.mixing import pack
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.stats.random import generator


@dataclass(frozen=True)
class BehaviourSettings:
    """How histories become sequences.

    max_items: events in one sequence at most. stride: events between the windows of a longer history, half of
    `max_items` if None. most_recent: keep only the last window of each user. separator: a `sep` token before
    the target of fine-tuning and at the end of a serving prompt.
    """

    max_items: int = 50
    stride: int | None = None
    most_recent: bool = False
    separator: bool = False

    def __post_init__(self) -> None:
        if self.max_items < 1 or not 1 <= self.step <= self.max_items:
            raise InputError(
                f"max_items is {self.max_items} and stride {self.step}; both must be 1 or more, stride at"
                " most max_items"
            )

    @property
    def step(self) -> int:
        """Events between two windows of one user."""
        return max(1, self.max_items // 2) if self.stride is None else self.stride


def behaviour_examples(
    train: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    settings: BehaviourSettings | None = None,
    features: Mapping[str, Ints] | None = None,
    targets: Bools | None = None,
) -> pa.Table:
    """One sequence a user with loss on every Semantic-ID token: each prefix of a history is an example.

    A history longer than `max_items` becomes several windows that end at its last event; where they overlap,
    only the window that sees more of the past has the loss, so every event is learnt exactly once (unless
    `most_recent`).

    Parameters
    ----------
    train
        training histories; users without events are skipped.
    codes
        (N, L) Semantic ID of each item.
    vocabulary
        where the tokens live.
    settings
        see `BehaviourSettings`.
    features
        name -> (E,) bucket of each event (-1 missing), in the order of `train.items`; tokens follow the
        event's Semantic ID, in the order of the names given, without loss.
    targets
        (E,) events with loss, all if None; the others are context alone, and a window without any is left
        out.

    Returns
    -------
    EXAMPLES table, source "behaviour".
    """
    settings = settings or BehaviourSettings()
    owners, back = _windows(train.lengths, settings)
    stop = train.offsets[1:][owners] - back * settings.step
    start = np.maximum(stop - settings.max_items, train.offsets[:-1][owners])
    learn_from = np.maximum(stop - settings.step, start)
    whole = (start == train.offsets[:-1][owners]) | settings.most_recent
    first = np.where(whole, start, learn_from)
    if targets is None:
        return _sequences(train, codes, vocabulary, features, start, stop, first, "behaviour")
    before = np.concatenate([[0], np.cumsum(targets)])
    some = before[stop] > before[first]
    bounds = start[some], stop[some], first[some]
    return _sequences(train, codes, vocabulary, features, *bounds, "behaviour", targets=targets)


def sft_examples(
    train: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    settings: BehaviourSettings | None = None,
    features: Mapping[str, Ints] | None = None,
    *,
    events: Ints | None = None,
) -> pa.Table:
    """One sequence a target event, with loss on the target's Semantic ID alone.

    `events` are indices into `train.items` of the targets, repeats allowed (for example what
    `sample_by_reward` drew); by default every event that has one before it. The context is the up to
    `max_items` events before the target. With `settings.separator` a `sep` token stands before the target.
    Other parameters as in `behaviour_examples`.

    Returns an EXAMPLES table in the order of `events`, source "sft".
    """
    settings = settings or BehaviourSettings()
    first = np.repeat(train.offsets[:-1], train.lengths)
    chosen = (
        np.flatnonzero(np.arange(len(train.items)) > first)
        if events is None
        else np.asarray(events, dtype=np.int64)
    )
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(train.items)):
        raise InputError(f"a target event is outside the {len(train.items):,} training events")
    start = np.maximum(chosen - settings.max_items, first[chosen])
    sep = vocabulary.special("sep") if settings.separator else None
    return _sequences(
        train, codes, vocabulary, features, start, chosen + 1, chosen, "sft", sep=sep, bare_target=True
    )


def thinned(train: Histories, most: float, seed: int | str, copy: int) -> Histories:
    """A copy of the histories with random events left out: each user at a rate drawn from U(0, `most`), anew
    for each `copy`.

    What follows what then varies between passes, which holds back memorising on small logs. A user with up to
    three events, or fewer than two left, keeps all. Raises InputError for a rate outside [0, 1).
    """
    if not 0 <= most < 1:
        raise InputError(f"the highest share of events to leave out is {most}; give one from 0 to below 1")
    rng = generator(seed, "thinned", copy)
    rates = np.repeat(rng.random(len(train)) * most, train.lengths)
    keep = rng.random(len(train.items)) >= rates
    left = np.bincount(train.user_rows[keep], minlength=len(train))
    whole = (left < 2) | (train.lengths <= 3)
    return train.keep_events(keep | np.repeat(whole, train.lengths))


def context_tokens(
    context: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    settings: BehaviourSettings | None = None,
    features: Mapping[str, Ints] | None = None,
) -> tuple[Ints, Ints]:
    """The prompt of each history for serving and evaluation: `[bos]`, the last `max_items` events, `sep` if
    trained with it.

    Returns
    -------
    tokens
        (U, C) int64, padded with `pad` on the right; C is the longest prompt.
    lengths
        (U,) tokens of each prompt, at least 1 (an empty history is `[bos]`).
    """
    settings = settings or BehaviourSettings()
    stop = context.offsets[1:]
    start = np.maximum(stop - settings.max_items, context.offsets[:-1])
    flat, _, offsets = _layout(context, codes, vocabulary, features, start, stop, stop, None, False)
    lengths = np.diff(offsets)
    extra = int(settings.separator)
    tokens = np.full(
        (len(context), int(lengths.max(initial=0)) + extra), vocabulary.special("pad"), dtype=np.int64
    )
    tokens[np.repeat(np.arange(len(context)), lengths), _ragged(np.zeros_like(lengths), lengths)] = flat
    if extra:
        tokens[np.arange(len(context)), lengths] = vocabulary.special("sep")
    return tokens, lengths + extra


def hours_since_previous(h: Histories) -> Floats:
    """(E,) hours between each event and the same user's event before it; NaN for the first and where a time
    is unknown.
    """
    if h.times is None:
        return np.full(len(h.items), np.nan)
    gaps = np.diff(h.times, prepend=np.nan) / 3600.0
    gaps[h.offsets[:-1][h.lengths > 0]] = np.nan
    return np.asarray(gaps, dtype=np.float64)


def _windows(lengths: Ints, settings: BehaviourSettings) -> tuple[Ints, Ints]:
    """For each window its user's row and how many strides it ends before the last event; oldest window
    first.
    """
    extra = np.maximum(lengths - settings.max_items, 0)
    number = np.where(lengths > 0, 1 if settings.most_recent else 1 + -(-extra // settings.step), 0)
    owners = np.repeat(np.arange(len(lengths)), number)
    return owners, np.repeat(number, number) - 1 - _ragged(np.zeros_like(number), number)


def _ragged(start: Ints, sizes: Ints) -> Ints:
    """start[0], start[0] + 1, ... (sizes[0] numbers), then start[1], ...: concatenated ranges without a
    loop.
    """
    ends = np.cumsum(sizes)
    return np.asarray(
        np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - sizes), sizes),
        dtype=np.int64,
    )


def _event_tokens(
    h: Histories, codes: npt.NDArray[np.integer], vocabulary: Vocabulary, features: Mapping[str, Ints] | None
) -> npt.NDArray[np.int32]:
    """(E, L + F) tokens of each event: its Semantic ID, then its features."""
    if len(h.items) and int(h.items.max()) >= len(codes):
        raise InputError(
            f"item index {int(h.items.max())} has no Semantic ID: there are codes for {len(codes):,} items;"
            " encode the catalogue"
        )
    columns = [vocabulary.sid_tokens(codes)[h.items]]
    for name, buckets in (features or {}).items():
        if len(buckets) != len(h.items):
            raise InputError(
                f"feature '{name}' has {len(buckets):,} values for {len(h.items):,} events; give one an event"
            )
        columns.append(np.asarray(vocabulary.bucket_token(name, buckets))[:, None])
    return np.concatenate(columns, axis=1).astype(np.int32)


def _layout(
    h: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    features: Mapping[str, Ints] | None,
    start: Ints,
    stop: Ints,
    learn_from: Ints,
    sep: int | None,
    bare_target: bool,
    targets: Bools | None = None,
) -> tuple[npt.NDArray[np.int32], Bools, Ints]:
    """Tokens (T,), loss (T,) and offsets (W + 1,) of windows [start, stop) over events, loss from event
    `learn_from` on.

    `sep` goes before the last event of each window; `bare_target` drops the features that follow it. Only
    `targets` have loss.
    """
    per_event = _event_tokens(h, codes, vocabulary, features)
    levels, sizes = codes.shape[1], stop - start
    index = _ragged(start, sizes)
    last = index == np.repeat(stop, sizes) - 1
    # One row an event: an optional separator, the Semantic ID, features; `keep` drops what a row does not
    # have.
    rows = np.concatenate(
        [np.full((len(index), 1), -1 if sep is None else sep, dtype=np.int32), per_event[index]], axis=1
    )
    keep = np.ones(rows.shape, dtype=np.bool_)
    keep[:, 0] = last & (sep is not None)
    keep[:, 1 + levels :] = ~(last & bare_target)[:, None]
    loss = np.zeros(rows.shape, dtype=np.bool_)
    wanted = index >= np.repeat(learn_from, sizes)
    loss[:, 1 : 1 + levels] = (wanted if targets is None else wanted & targets[index])[:, None]
    before = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    offsets = before[bounds] + np.arange(len(bounds))  # and one bos a window
    tokens = np.full(int(offsets[-1]), vocabulary.special("bos"), dtype=np.int32)
    learn = np.zeros(len(tokens), dtype=np.bool_)
    place = np.ones(len(tokens), dtype=np.bool_)
    place[offsets[:-1]] = False
    tokens[place], learn[place] = rows[keep], loss[keep]
    return tokens, learn, offsets.astype(np.int64)


def _sequences(
    h: Histories,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    features: Mapping[str, Ints] | None,
    start: Ints,
    stop: Ints,
    learn_from: Ints,
    source: str,
    *,
    sep: int | None = None,
    bare_target: bool = False,
    targets: Bools | None = None,
) -> pa.Table:
    tokens, learn, offsets = _layout(
        h, codes, vocabulary, features, start, stop, learn_from, sep, bare_target, targets
    )
    return pack(tokens, learn, offsets, source)
