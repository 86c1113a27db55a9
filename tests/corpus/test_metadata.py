"""Metadata sequences: both directions, where the loss is, missing fields, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest
from recipes.small import TAGS, build_small, decode_bytes, encode_bytes

from tastemaker.corpus.metadata import MAX_TEXT, SENTENCES, metadata_examples
from tastemaker.errors import InputError
from tastemaker.schema import EXAMPLES

V = build_small((6, 4))
CODES = np.array([[1, 2], [3, 0], [5, 3]])
ITEMS = pa.table(
    {
        "title": ["Reel", None, "  "],
        "text": [None, None, "long text " * 50],
        "attributes": [["jig", "G"], ["air"], []],
    }
)
BOS, EOS, ITEM, ATTRIBUTES = (V.special(n) for n in ("bos", "eos", "item", "attributes"))


def rows(templates: tuple[str, ...]) -> list[tuple[list[int], list[int]]]:
    table = metadata_examples(ITEMS, CODES, V, encode_bytes, templates)
    assert table.schema.equals(EXAMPLES)
    return list(zip(table["tokens"].to_pylist(), table["loss_mask"].to_pylist(), strict=True))


def test_both_directions_with_the_loss_on_what_is_asked() -> None:
    sid = [V.sid_tokens(c).tolist() for c in CODES]
    title, jig, air = (encode_bytes(t) for t in ("Reel", "jig, G", "air"))
    assert rows(("{title}<|item|>{sid}", "{sid}<|attributes|>{attributes}")) == [
        ([BOS, *title, ITEM, *sid[0]], [0] * 6 + [1, 1]),
        ([BOS, *sid[0], ATTRIBUTES, *jig, EOS], [0] * 3 + [1] * 8),
        ([BOS, *sid[1], ATTRIBUTES, *air, EOS], [0] * 3 + [1] * 5),
    ]


def test_long_fields_are_cut_and_braces_in_texts_mean_nothing() -> None:
    assert len(rows(("{text}<|item|>{sid}",))[0][0]) == 1 + MAX_TEXT + 1 + 2
    odd = pa.table({"title": ["{text} <|eos|> {sid}"]})
    tokens = metadata_examples(odd, CODES[:1], V, encode_bytes, ("{title}<|item|>{sid}",))["tokens"][
        0
    ].as_py()
    assert decode_bytes(tokens[1:-3]) == "{text} <|eos|> {sid}" and EOS not in tokens


@pytest.mark.parametrize("templates", [TAGS, SENTENCES])
def test_every_example_speaks_of_one_item(templates: tuple[str, ...]) -> None:
    table = metadata_examples(ITEMS, CODES, V, encode_bytes, templates)
    wanted = {tuple(V.sid_tokens(CODES[i]).tolist()) for i in range(3)}
    mentions = [
        tuple(t for t in tokens if V.base_size <= t < V.sid_starts[-1])
        for tokens in table["tokens"].to_pylist()
    ]
    assert set(mentions) == wanted


def test_items_without_any_field_give_no_example() -> None:
    assert metadata_examples(pa.table({"title": ["", None, " "]}), CODES, V, encode_bytes).num_rows == 0


@pytest.mark.parametrize("template", ["{sid}", "{title}", "a {sid} b", "{sid}{price}", "{sid}{sid}"])
def test_bad_templates_are_refused(template: str) -> None:
    with pytest.raises(InputError, match="template"):
        metadata_examples(ITEMS, CODES, V, encode_bytes, (template,))
