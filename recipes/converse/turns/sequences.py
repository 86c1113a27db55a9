"""Conversations as token sequences: the item first, so that the words condition on it.

    [bos] text PROFILE  ( user MESSAGE (media CODES)*  (item CODES | none) text REPLY sep )*

Text is encoded as plain text whatever it spells, so neither an item's nor a listener's words can forge an
item or an end. No thought, label, goal or constraint is in a sequence; a label decides only whether an item
is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.mixing import pack_rows
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.stats.random import generator

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
                " recipes.converse.turns.words.add_words"
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

    def asked(self, exchange: Exchange) -> list[int]:
        """The listener's side."""
        shown = [token for row in exchange.media for token in (self.token["media"], *self._sid(row))]
        return [self.token["user"], *self.text(exchange.message), *shown]

    def answered(self, exchange: Exchange) -> tuple[list[int], list[int]]:
        """The answer's tokens and what loss each has."""
        item = (
            [self.token["none"]] if exchange.item is None else [self.token["item"], *self._sid(exchange.item)]
        )
        reply = [*self.text(exchange.reply), self.token["sep"]]
        learn = exchange.item is None or exchange.accepted
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
        with the tokens `SPECIALS` (`recipes.converse.turns.words.add_words`).
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
    rows = [
        row
        for number, dialogue in enumerate(dialogues, start=1)
        for row in _windows(dialogue, writer, f"dialogue {number}")
    ]
    kinds = np.array([kind for _, loss in rows for kind in loss], np.int8)
    levels = _levels(kinds, settings.weight)
    table = pack_rows(((tokens, levels[loss].tolist()) for tokens, loss in rows), "dialogue")
    each = pa.array(np.full(len(rows), 1.0 / max(int(levels[1]), 1), np.float32))
    return table.set_column(table.schema.get_field_index("weight"), table.schema.field("weight"), each)


def _levels(kinds: npt.NDArray[np.int8], share: float) -> npt.NDArray[np.int8]:
    """Whole-number weights of no loss, item and reply tokens, the latter two as share / n_item : (1 - share)
    / n_reply.
    """
    items, replies = int((kinds == 1).sum()), int((kinds == 2).sum())
    heavy = share / max(items, 1), (1 - share) / max(replies, 1)
    unit = STRONGEST / max(heavy)
    return np.array([0, *(max(1, round(weight * unit)) if weight else 0 for weight in heavy)], np.int8)


def _windows(dialogue: Dialogue, writer: _Writer, where: str) -> list[tuple[list[int], list[int]]]:
    """The conversation in as few sequences as fit; a later one repeats the profile and the turn before it,
    without loss.
    """
    start = writer.start(dialogue.profile)
    windows: list[tuple[list[int], list[int]]] = []
    tokens, kinds = list(start), [0] * len(start)
    before: list[int] = []
    for exchange in dialogue.exchanges:
        asked = writer.asked(exchange)
        answer, loss = writer.answered(exchange)
        turn = [*asked, *answer]
        if len(tokens) + len(turn) > writer.settings.longest and len(tokens) > len(start):
            windows.append((tokens, kinds))
            carried = before if len(start) + len(before) + len(turn) <= writer.settings.longest else []
            tokens, kinds = [*start, *carried], [0] * (len(start) + len(carried))
        if len(tokens) + len(turn) > writer.settings.longest:
            raise InputError(
                f"{where}: a turn has {len(turn)} tokens, sequences {writer.settings.longest}; lower max_text"
            )
        tokens += turn
        kinds += [0] * len(asked) + loss
        before = turn
    return [*windows, (tokens, kinds)]


def prompts(
    dialogue: Dialogue,
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
    start, room = writer.start(dialogue.profile), settings.longest - codes.shape[1] - 2
    turns: list[list[int]] = []
    prompts_before = []
    for exchange in dialogue.exchanges:
        asked = writer.asked(exchange)
        first, size = len(turns), len(start) + len(asked)
        while first > 0 and size + len(turns[first - 1]) <= room:
            first -= 1
            size += len(turns[first])
        prompts_before.append([*start, *(token for turn in turns[first:] for token in turn), *asked])
        turns.append([*asked, *writer.answered(exchange)[0]])
    return prompts_before


UNNAMED = "it"  # in place of a title, which nobody who asks would know


def reversed_examples(
    dialogues: Sequence[Dialogue],
    titles: Sequence[str | None],
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    encode_text: Callable[[str], list[int]],
    max_text: int = 160,
) -> pa.Table:
    """One example for every item played: `[bos] user REPLY item CODES`, the item's title taken out, the loss
    on its codes.

    Rejected items are there too: a description of one is as true as of another, and says nothing of anybody's
    taste.

    Parameters
    ----------
    dialogues, codes, vocabulary, encode_text
        as in `dialogue_examples`.
    titles
        (N,) by item.
    max_text
        tokens of one reply at most.

    Returns
    -------
    EXAMPLES table, source "reversed", in the order given; a reply that says nothing but the title is left
    out.

    Raises
    ------
    InputError
        when there are not as many titles as codes, or an item has no codes.
    """
    if len(titles) != len(codes):
        raise InputError(f"{len(titles):,} titles for {len(codes):,} items; give one for each")
    sids = vocabulary.sid_tokens(codes).tolist()
    begin, item = [vocabulary.special("bos"), vocabulary.special("user")], vocabulary.special("item")
    rows = []
    for exchange in (exchange for dialogue in dialogues for exchange in dialogue.exchanges):
        if (row := exchange.item) is None:
            continue
        if row >= len(sids):
            raise InputError(f"item index {row} has no Semantic ID: there are codes for {len(sids):,} items")
        if words := _without(exchange.reply, titles[row]):
            given = [*begin, *encode_text(words)[:max_text], item]
            rows.append(([*given, *sids[row]], [0] * len(given) + [1] * len(sids[row])))
    return pack_rows(rows, "reversed")


def _without(reply: str, title: str | None) -> str:
    """The reply with its item's title replaced; nothing if it was no more than the title."""
    words = reply.strip()
    if not title:
        return words
    bare = words.replace(f"“{title}”", UNNAMED).replace(title, UNNAMED)
    return "" if bare == UNNAMED else bare


@dataclass(frozen=True, eq=False)
class DialogueSplit:
    """train: what may be learnt from. test: numbers of the dialogues to ask. cold: (N,) items of families
    held out.

    dropped: dialogues that share a goal with a test but not its user; cut: turns left out of train because of
    a cold item.
    """

    train: tuple[Dialogue, ...]
    test: tuple[int, ...]
    cold: npt.NDArray[np.bool_]
    dropped: int
    cut: int


def split_dialogues(
    dialogues: Sequence[Dialogue],
    families: npt.NDArray[np.integer],
    test: float,
    cold: float,
    seed: int | str,
) -> DialogueSplit:
    """Users drawn by key are asked, and their goals are learnt from nobody; a training dialogue ends before
    its first cold item.

    Parameters
    ----------
    families
        (N,) family of each item; all versions of one thing are held out together.
    test, cold
        shares of the users and of the families, in [0, 1).

    Raises
    ------
    InputError
        for other shares, or when one side is empty.
    """
    if not (0 < test < 1 and 0 <= cold < 1):
        raise InputError(
            f"the split needs a test share in (0, 1) and a cold share in [0, 1); got {test} and {cold}"
        )
    users = sorted({dialogue.user for dialogue in dialogues})
    draw = generator(seed, "test users").random(len(users))
    asked_users = {user for user, value in zip(users, draw, strict=True) if value < test}
    asked = tuple(place for place, dialogue in enumerate(dialogues) if dialogue.user in asked_users)
    seeds = {dialogues[place].seed for place in asked}
    names = np.unique(families)
    held = names[generator(seed, "cold families").random(len(names)) < cold]
    is_cold = np.isin(families, held)
    train, dropped, cut = [], 0, 0
    for dialogue in dialogues:
        if dialogue.user in asked_users:
            continue
        if dialogue.seed in seeds:
            dropped += 1
            continue
        shortened = _before_cold(dialogue, is_cold)
        cut += len(dialogue.exchanges) - len(shortened.exchanges)
        if shortened.exchanges:
            train.append(shortened)
    if not asked or not train:
        raise InputError(
            f"{len(dialogues):,} conversations of {len(users):,} users leave {len(train):,} to learn from and"
            f" {len(asked):,} to ask; generate more, or change the shares"
        )
    return DialogueSplit(tuple(train), asked, is_cold, dropped, cut)


def _before_cold(dialogue: Dialogue, cold: npt.NDArray[np.bool_]) -> Dialogue:
    """The exchanges before the first that shows or plays a cold item."""
    for place, exchange in enumerate(dialogue.exchanges):
        rows = [*exchange.media, *([] if exchange.item is None else [exchange.item])]
        if any(cold[row] for row in rows):
            return replace(dialogue, exchanges=dialogue.exchanges[:place])
    return dialogue
