"""What was said of an item, learnt backwards: from the words of a reply to the item it spoke of.

In a conversation the item comes before the words about it, so a causal model learns to describe items but not
to find one by its description (the reversal curse, Berglund et al., arXiv 2309.12288); learning the same
facts in the other order mends that (Golovneva et al., arXiv 2403.13799). Here the reply stands where a
listener's message would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.dialogue.sequences import Dialogue
from tastemaker.corpus.mixing import pack
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

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
    tokens: list[int] = []
    mask: list[int] = []
    ends = [0]
    for row, reply in (
        (one.item, one.reply) for dialogue in dialogues for one in dialogue.exchanges if one.item is not None
    ):
        if row >= len(sids):
            raise InputError(f"item index {row} has no Semantic ID: there are codes for {len(sids):,} items")
        words = _without(reply, titles[row])
        if not words:
            continue
        given = [*begin, *encode_text(words)[:max_text], item]
        tokens += [*given, *sids[row]]
        mask += [0] * len(given) + [1] * len(sids[row])
        ends.append(len(tokens))
    return pack(np.array(tokens, np.int32), np.array(mask, np.int8), np.array(ends, np.int64), "reversed")


def _without(reply: str, title: str | None) -> str:
    """The reply with its item's title replaced; nothing if it was no more than the title."""
    words = reply.strip()
    if not title:
        return words
    bare = words.replace(f"“{title}”", UNNAMED).replace(title, UNNAMED)
    return "" if bare == UNNAMED else bare
