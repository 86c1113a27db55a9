"""What items are, as token sequences: from Semantic ID to text, and from text to Semantic ID.

Each example speaks of one item of the catalogue and of no user, so no title of a behaviour target can leak
into a behaviour task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.mixing import pack_rows
from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

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
MAX_TEXT = 64  # tokens of one field at most
FIELDS = ("title", "text", "attributes", "creator")
_PART = re.compile(r"(\{\w+\}|<\|\w+\|>)")


def metadata_examples(
    items: pa.Table,
    codes: npt.NDArray[np.integer],
    vocabulary: Vocabulary,
    encode_text: Callable[[str], list[int]],
    templates: Sequence[str] = SENTENCES,
) -> pa.Table:
    """Every template of every item that has its fields: `[bos] prompt target`, `eos` after a text.

    items: ITEMS table in the order of item indices (columns that are absent count as empty).
    codes: (N, L) Semantic ID of each item.
    vocabulary: where the tokens live.
    encode_text: text to token ids below the vocabulary's SID rows.
    templates: words, one `{sid}` at the very start or end, fields `{title}`, `{text}`, `{attributes}`,
        `{creator}`, and special tokens `<|name|>`; a template is used for the items that have all its fields.
        The loss is on the target alone.

    Returns EXAMPLES table, source "metadata", item by item; empty when no item has any field.

    Raises InputError for a template that is none.
    """
    sids = vocabulary.sid_tokens(codes).tolist()
    texts = {name: _texts(items, name) for name in FIELDS}
    plans = [_plan(template, vocabulary, encode_text) for template in templates]
    rows = []
    for place, sid in enumerate(sids):
        fields = {
            name: encode_text(column[place])[:MAX_TEXT] for name, column in texts.items() if column[place]
        }
        fields["sid"] = sid
        for sid_first, parts in plans:
            if any(isinstance(part, str) and part not in fields for part in parts):
                continue
            pieces = [fields[part] if isinstance(part, str) else part for part in parts]
            prompt, target = _sides(pieces, sid_first, vocabulary)
            rows.append((prompt + target, [0] * len(prompt) + [1] * len(target)))
    return pack_rows(rows, "metadata")


def _sides(pieces: list[list[int]], sid_first: bool, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    """Prompt (with bos) and target."""
    bos, flat = [vocabulary.special("bos")], [token for piece in pieces for token in piece]
    cut = len(pieces[0]) if sid_first else len(flat) - len(pieces[-1])
    if sid_first:
        return bos + flat[:cut], [*flat[cut:], vocabulary.special("eos")]
    return bos + flat[:cut], flat[cut:]


def _texts(items: pa.Table, name: str) -> list[str]:
    """One stripped text an item; empty where there is none."""
    if name not in items.column_names:
        return [""] * items.num_rows
    values = items.column(name).to_pylist()
    return [
        (", ".join(v for v in value if v) if isinstance(value, list) else value or "").strip()
        for value in values
    ]


def _plan(
    template: str, vocabulary: Vocabulary, encode_text: Callable[[str], list[int]]
) -> tuple[bool, list[str | list[int]]]:
    """Whether the Semantic ID comes first, and the parts: field names, or tokens of words and tags."""
    unknown = sorted(set(re.findall(r"\{(\w+)\}", template)) - {"sid", *FIELDS})
    at_an_end = template.startswith("{sid}") or template.endswith("{sid}")
    if unknown or template.count("{sid}") != 1 or not at_an_end or template == "{sid}":
        raise InputError(
            f"template '{template}': needs {{sid}} once, first or last, words beside it, and of"
            f" {', '.join(FIELDS)}" + (f"; {{{unknown[0]}}} is unknown" if unknown else "")
        )
    parts: list[str | list[int]] = []
    for part in filter(None, _PART.split(template)):
        if part.startswith("{") and part.endswith("}"):
            parts.append(part[1:-1])
        elif part.startswith("<|") and part.endswith("|>"):
            parts.append([vocabulary.special(part[2:-2])])
        else:
            parts.append(encode_text(part))
    return template.startswith("{sid}"), parts
