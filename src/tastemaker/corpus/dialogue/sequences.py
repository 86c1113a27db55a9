"""Conversations as token sequences: the item first, so that the words condition on it.

    [bos] text PROFILE  ( user MESSAGE (media CODES)*  (item CODES | none) text REPLY sep )*

Text is encoded as plain text whatever it spells, so neither an item's nor a listener's words can forge an
item or an end. No thought, label, goal or constraint is in a sequence; a label decides only whether an item
is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.mixing import pack
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

SPECIALS = ("none", "media")  # beyond those that every vocabulary has
STRONGEST = 127  # loss_mask is int8: a token's weight in units of the weakest


@dataclass(frozen=True)
class Exchange:
    """A message, the rows that its attachments were recognised as, the row answered with (None: nothing
    fits), and the reply.

    accepted: the item is one to learn; a rejected one stays as context.
    """

    message: str
    media: tuple[int, ...]
    item: int | None
    accepted: bool
    reply: str


@dataclass(frozen=True)
class Dialogue:
    """One conversation as a model meets it; `seed` and `user` say what it may not share with a test."""

    user: str
    seed: int
    profile: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class DialogueSettings:
    """weight: lambda, the share of the loss that item tokens get, the rest goes to the replies. longest:
    tokens of one sequence; longer conversations become windows that each repeat the profile. max_text: tokens
    of one message or reply at most.
    """

    weight: float = 0.5
    longest: int = 1024
    max_text: int = 160

    def __post_init__(self) -> None:
        """A share inside (0, 1] and room for a turn."""
        if not 0 < self.weight <= 1:
            raise InputError(f"the item's share of the loss is {self.weight}; give one above 0 and at most 1")
        if self.longest < 16 or self.max_text < 1:
            raise InputError(
                f"longest is {self.longest} and max_text {self.max_text}; give at least 16 and 1"
            )


class _Writer:
    """Exchanges as (tokens, kind of loss) with 0 = none, 1 = item, 2 = reply."""

    def __init__(
        self,
        codes: npt.NDArray[np.integer],
        vocabulary: Vocabulary,
        encode_text: Callable[[str], list[int]],
        settings: DialogueSettings,
    ) -> None:
        missing = [name for name in SPECIALS if name not in vocabulary.specials]
        if missing:
            raise InputError(
                f"the vocabulary has no '{missing[0]}' token; prepare the model with"
                " tastemaker.lm.dialogue.add_words"
            )
        self.sids = vocabulary.sid_tokens(codes).tolist()
        self.settings, self._encode = settings, encode_text
        names = ("bos", "text", "user", "media", "item", "none", "sep")
        self.token = {name: vocabulary.special(name) for name in names}

    def text(self, words: str) -> list[int]:
        """Words as tokens, cut at `max_text`."""
        return self._encode(words)[: self.settings.max_text]

    def start(self, profile: str) -> list[int]:
        """What every window begins with."""
        return [self.token["bos"], self.token["text"], *self.text(profile)]

    def asked(self, one: Exchange) -> list[int]:
        """The listener's side."""
        shown = [token for row in one.media for token in (self.token["media"], *self._sid(row))]
        return [self.token["user"], *self.text(one.message), *shown]

    def answered(self, one: Exchange) -> tuple[list[int], list[int]]:
        """The answer's tokens and what loss each has."""
        item = [self.token["none"]] if one.item is None else [self.token["item"], *self._sid(one.item)]
        reply = [*self.text(one.reply), self.token["sep"]]
        learn = one.item is None or one.accepted
        return [*item, self.token["text"], *reply], [int(learn)] * len(item) + [0] + [2] * len(reply)

    def _sid(self, row: int) -> list[int]:
        if not 0 <= row < len(self.sids):
            raise InputError(
                f"item index {row} has no Semantic ID: there are codes for {len(self.sids):,} items"
            )
        return list(self.sids[row])


def dialogue_examples(
    dialogues: Sequence[Dialogue],
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    encode_text: Callable[[str], list[int]],
    settings: DialogueSettings | None = None,
) -> pa.Table:
    """Loss = lambda mean NLL(item tokens) + (1 - lambda) mean NLL(reply tokens), as weights of tokens in
    `loss_mask`.

    Item tokens are `item` or `none` and the codes; rejected items and messages have no loss. The means are
    over all dialogues given; weights are whole numbers up to 127, so lambda is met to about a hundredth. An
    item's token weighs 1 in all, as it does in behaviour examples, so that the two can be mixed.

    Parameters
    ----------
    dialogues
        conversations over the items of `codes` (N, L).
    vocabulary
        with the tokens `SPECIALS` (`tastemaker.lm.dialogue.add_words`).
    encode_text
        text to token ids below the Semantic IDs' rows.

    Returns
    -------
    EXAMPLES table, source "dialogue", in the order given.

    Raises
    ------
    InputError
        for an item without codes, or a turn longer than a sequence may be.
    """
    settings = settings or DialogueSettings()
    writer = _Writer(codes, vocabulary, encode_text, settings)
    tokens: list[int] = []
    kinds: list[int] = []
    ends = [0]
    for number, one in enumerate(dialogues, start=1):
        for window, loss in _windows(one, writer, f"dialogue {number}"):
            tokens += window
            kinds += loss
            ends.append(len(tokens))
    levels = _levels(np.array(kinds, np.int8), settings.weight)
    table = pack(np.array(tokens, np.int32), levels[kinds], np.array(ends, np.int64), "dialogue")
    each = pa.array(np.full(len(ends) - 1, 1.0 / max(int(levels[1]), 1), np.float32))
    return table.set_column(table.schema.get_field_index("weight"), table.schema.field("weight"), each)


def _levels(kinds: npt.NDArray[np.int8], share: float) -> npt.NDArray[np.int8]:
    """Whole-number weights of no loss, item and reply tokens, the latter two as share / n_item : (1 - share)
    / n_reply.
    """
    items, replies = int((kinds == 1).sum()), int((kinds == 2).sum())
    heavy = share / max(items, 1), (1 - share) / max(replies, 1)
    unit = STRONGEST / max(heavy)
    return np.array([0, *(max(1, round(one * unit)) if one else 0 for one in heavy)], np.int8)


def _windows(one: Dialogue, writer: _Writer, where: str) -> list[tuple[list[int], list[int]]]:
    """The conversation in as few sequences as fit; a later one repeats the profile and the turn before it,
    without loss.
    """
    start = writer.start(one.profile)
    found: list[tuple[list[int], list[int]]] = []
    tokens, kinds = list(start), [0] * len(start)
    before: list[int] = []
    for exchange in one.exchanges:
        asked = writer.asked(exchange)
        answer, loss = writer.answered(exchange)
        turn = [*asked, *answer]
        if len(tokens) + len(turn) > writer.settings.longest and len(tokens) > len(start):
            found.append((tokens, kinds))
            kept = before if len(start) + len(before) + len(turn) <= writer.settings.longest else []
            tokens, kinds = [*start, *kept], [0] * (len(start) + len(kept))
        if len(tokens) + len(turn) > writer.settings.longest:
            raise InputError(
                f"{where}: a turn has {len(turn)} tokens, sequences {writer.settings.longest}; lower max_text"
            )
        tokens += turn
        kinds += [0] * len(asked) + loss
        before = turn
    return [*found, (tokens, kinds)]


def prompts(
    one: Dialogue,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    encode_text: Callable[[str], list[int]],
    settings: DialogueSettings | None = None,
) -> list[list[int]]:
    """What the model reads before each answer: all turns before it and the message, the oldest turns dropped
    when too long.

    `longest` leaves room for the answer's Semantic ID.
    """
    settings = settings or DialogueSettings()
    writer = _Writer(codes, vocabulary, encode_text, settings)
    start, room = writer.start(one.profile), settings.longest - codes.shape[1] - 2
    turns: list[list[int]] = []
    found = []
    for exchange in one.exchanges:
        asked = writer.asked(exchange)
        first, size = len(turns), len(start) + len(asked)
        while first > 0 and size + len(turns[first - 1]) <= room:
            first -= 1
            size += len(turns[first])
        found.append([*start, *(token for turn in turns[first:] for token in turn), *asked])
        turns.append([*asked, *writer.answered(exchange)[0]])
    return found
