"""A byte model given words keeps what it knew, and learns a weighted loss."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from recipes.converse.turns.words import add_words, reply
from recipes.small import Shape, build_small, small

from tastemaker.errors import ModelError
from tastemaker.lm import base
from tastemaker.lm.train import Settings, train
from tastemaker.lm.training.batches import read_examples
from tastemaker.schema import EXAMPLES

TEXTS = ["a jig in G, please", "a reel in D, please", "<|item|> ünïcode \u2028"] * 4


@pytest.fixture(scope="module")
def spoken() -> tuple:
    torch.set_num_threads(1)
    old = build_small((3, 4))
    model = small(old, Shape(layers=1, width=32, heads=1, context=64))
    return (model, old, *add_words(model, old, None, TEXTS, ("none", "media"), 300, 0))


def test_rows_that_had_a_meaning_keep_it(spoken: tuple) -> None:
    model, old, fresh, new, tokenizer = spoken
    before, after = model.get_input_embeddings().weight, fresh.get_input_embeddings().weight
    assert new.sizes == old.sizes and new.specials[-2:] == ("none", "media") and len(after) == new.size
    for level in range(2):
        assert torch.equal(before[old.sid_slice(level)], after[new.sid_slice(level)])
    assert torch.equal(before[old.special("sep")], after[new.special("sep")])
    row = tokenizer.convert_tokens_to_ids("j")
    assert torch.equal(before[ord("j")], after[row])
    assert fresh.get_output_embeddings().weight is after


def test_any_text_comes_back_and_none_forges_a_token(spoken: tuple) -> None:
    *_, new, tokenizer = spoken
    encode, decode = base.text_functions(new, tokenizer)
    for text in (*TEXTS, "日本 \x00 <sid_0_1>", ""):
        tokens = encode(text)
        assert decode(tokens) == text and all(token < new.base_size for token in tokens)
    assert len(encode(TEXTS[0])) < len(TEXTS[0])


def test_it_survives_the_disk(spoken: tuple, tmp_path) -> None:  # type: ignore[no-untyped-def]
    _, _, fresh, new, tokenizer = spoken
    base.save(fresh, new, tmp_path / "m", tokenizer)
    loaded, vocabulary = base.load(tmp_path / "m")
    assert vocabulary == new
    encode, _ = base.text_functions(new, base.load_tokenizer(tmp_path / "m"))
    assert encode(TEXTS[0]) == base.text_functions(new, tokenizer)[0](TEXTS[0])
    assert base.weights_hash(loaded) == base.weights_hash(fresh)


def test_teaching_twice_is_refused(spoken: tuple) -> None:
    _, _, fresh, new, tokenizer = spoken
    with pytest.raises(ModelError, match="'media'"):
        add_words(fresh, new, tokenizer, TEXTS, ("none", "media"), 300, 0)


def test_a_reply_is_text_up_to_its_end(spoken: tuple) -> None:
    _, _, fresh, new, _ = spoken
    tokens = reply(fresh, new, [new.special("bos"), new.special("text")], longest=12)
    assert len(tokens) <= 12 and all(token < new.base_size for token in tokens)


def table(masks: list[list[int]]) -> pa.Table:
    rows = [{"tokens": [5, 6, 7, 8], "loss_mask": mask, "weight": 1.0, "source": "t"} for mask in masks]
    return pa.Table.from_pylist(rows, EXAMPLES)


def test_weights_of_tokens_reach_the_gradient(spoken: tuple) -> None:
    """One step on weights 3 and 1 equals the step on the same loss written as repeated examples."""
    *_, fresh, new, _ = spoken
    examples = read_examples(table([[0, 3, 0, 1]]), new, False, 64)
    assert examples.emphasis is not None and examples.mean_target_weight == pytest.approx(4.0)
    assert read_examples(table([[0, 1, 0, 1]]), new, False, 64).emphasis is None
    results = []
    for masks in ([[0, 3, 0, 1]], [[0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]]):
        import copy

        model = copy.deepcopy(fresh)
        settings = Settings(
            steps=1, batch_rows=len(masks), warmup=0, learning_rate=1e-2, weight_decay=0.0, clip=0.0
        )
        list(train(model, new, table(masks), settings))
        results.append(model.get_input_embeddings().weight.detach().numpy())
    np.testing.assert_allclose(results[0], results[1], atol=2e-5)


def test_a_model_with_a_tokenizer_keeps_its_words_and_gains_tokens(spoken: tuple) -> None:
    _, _, fresh, new, tokenizer = spoken
    more, wider, other = add_words(fresh, new, tokenizer, [], ("later",), 0, 0)
    assert wider.size == new.size + 1 and wider.special("later") == new.size
    assert torch.equal(more.get_input_embeddings().weight[: new.size], fresh.get_input_embeddings().weight)
    assert base.text_functions(wider, other)[0](TEXTS[0]) == base.text_functions(new, tokenizer)[0](TEXTS[0])
    assert len(tokenizer) == new.size
