"""What items are, as token sequences: from Semantic ID to text, and from text to Semantic ID.

Each example speaks of one item of the catalogue and of no user, so no title of a behaviour target can leak
into a behaviour task.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.events import Ints
from tastemaker.corpus.mixing import pack
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

# Tags cost one token each, which suits a model that reads bytes.
TAGS = (
    "{sid}<|text|>{title}",
    "{title}<|item|>{sid}",
    "{sid}<|attributes|>{attributes}",
    "{attributes}<|item|>{sid}",
    "{sid}<|text|>{text}",
    "{text}<|item|>{sid}",
)
# Sentences suit a model that has read some.
SENTENCES = (
    "{sid} is called {title}.",
    "The item called {title} is {sid}",
    "{sid} is described by {attributes}.",
    "An item described by {attributes}: {sid}",
    "{sid}: {text}",
    "{text} This is {sid}",
    "{sid} was made by {creator}.",
)
FIELDS = ("title", "text", "attributes", "creator")
_PART = re.compile(r"(\{\w+\}|<\|\w+\|>)")


@dataclass(frozen=True)
class MetadataSettings:
    """Which sentences to make of each item.

    templates: words, one `{sid}` at the very start or end, fields `{title}`, `{text}`, `{attributes}`,
    `{creator}`, and special tokens `<|name|>`; a template is used for the items that have all its fields.
    max_text: tokens of one field at most.
    loss_everywhere: also learn the given side; otherwise the loss is on what is asked for alone.
    """

    templates: tuple[str, ...] = TAGS
    max_text: int = 64
    loss_everywhere: bool = False

    def __post_init__(self) -> None:
        if not self.templates or self.max_text < 1:
            raise InputError("metadata needs at least one template and max_text of 1 or more")
        for template in self.templates:
            unknown = sorted(set(re.findall(r"\{(\w+)\}", template)) - {"sid", *FIELDS})
            at_an_end = template.startswith("{sid}") or template.endswith("{sid}")
            if unknown or template.count("{sid}") != 1 or not at_an_end or template == "{sid}":
                raise InputError(
                    f"template '{template}': needs {{sid}} once, first or last, words beside it, and of"
                    f" {', '.join(FIELDS)}" + (f"; {{{unknown[0]}}} is unknown" if unknown else "")
                )


def metadata_examples(
    items: pa.Table,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    encode_text: Callable[[str], list[int]],
    settings: MetadataSettings | None = None,
    *,
    rows: Ints | None = None,
) -> pa.Table:
    """Every template of every item that has its fields: `[bos] given asked`, with `eos` after asked text.

    Parameters
    ----------
    items
        ITEMS table in the order of item indices (columns that are absent count as empty).
    codes
        (N, L) Semantic ID of each item.
    vocabulary
        where the tokens live.
    encode_text
        text to token ids below the vocabulary's SID rows.
    settings
        see `MetadataSettings`.
    rows
        item indices to describe; all if None. Leave out items held out as new, or give only those.

    Returns
    -------
    EXAMPLES table, source "metadata", item by item; empty when no item has any field.

    Raises
    ------
    InputError
        when items and codes differ in number.
    """
    settings = settings or MetadataSettings()
    if items.num_rows != len(codes):
        raise InputError(
            f"{items.num_rows:,} items but Semantic IDs for {len(codes):,}; encode this catalogue again"
        )
    chosen = np.arange(items.num_rows) if rows is None else np.asarray(rows, dtype=np.int64)
    sids = vocabulary.sid_tokens(codes[chosen]).tolist()
    texts = {name: _texts(items, name, chosen) for name in FIELDS}
    plans = [_plan(template, vocabulary, encode_text) for template in settings.templates]
    tokens: list[int] = []
    loss: list[int] = []
    ends = [0]
    for place, sid in enumerate(sids):
        fields = {
            name: encode_text(column[place])[: settings.max_text]
            for name, column in texts.items()
            if column[place]
        }
        fields["sid"] = sid
        for sid_first, parts in plans:
            if any(isinstance(part, str) and part not in fields for part in parts):
                continue
            pieces = [fields[part] if isinstance(part, str) else part for part in parts]
            given, asked = _sides(pieces, sid_first, vocabulary)
            tokens += given + asked
            loss += [0] + [int(settings.loss_everywhere)] * (len(given) - 1) + [1] * len(asked)
            ends.append(len(tokens))
    return pack(
        np.array(tokens, dtype=np.int32),
        np.array(loss, dtype=np.int8),
        np.array(ends, dtype=np.int64),
        "metadata",
    )


def _sides(pieces: list[list[int]], sid_first: bool, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    """What is given (with bos) and what is asked for."""
    bos, flat = [vocabulary.special("bos")], [token for piece in pieces for token in piece]
    cut = len(pieces[0]) if sid_first else len(flat) - len(pieces[-1])
    if sid_first:
        return bos + flat[:cut], [*flat[cut:], vocabulary.special("eos")]
    return bos + flat[:cut], flat[cut:]


def _texts(items: pa.Table, name: str, rows: Ints) -> list[str]:
    """One stripped text an item; empty where there is none."""
    if name not in items.column_names:
        return [""] * len(rows)
    values = items.column(name).take(pa.array(rows)).to_pylist()
    return [
        (", ".join(v for v in value if v) if isinstance(value, list) else value or "").strip()
        for value in values
    ]


def _plan(
    template: str, vocabulary: Vocabulary, encode_text: Callable[[str], list[int]]
) -> tuple[bool, list[str | list[int]]]:
    """Whether the Semantic ID comes first, and the parts: a field's name, or the tokens of fixed words and
    tags.
    """
    parts: list[str | list[int]] = []
    for part in filter(None, _PART.split(template)):
        if part.startswith("{") and part.endswith("}"):
            parts.append(part[1:-1])
        elif part.startswith("<|") and part.endswith("|>"):
            parts.append([vocabulary.special(part[2:-2])])
        else:
            parts.append(encode_text(part))
    return template.startswith("{sid}"), parts
