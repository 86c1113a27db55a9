"""Tree attention against the slow way: every beam a row of its own, read from the start."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from recipes.small import Shape, build_small, small

from tastemaker.errors import ModelError
from tastemaker.lm import decode

VOCABULARY = build_small((8, 4, 4))
COMMON = {
    "vocab_size": VOCABULARY.size,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]


def _family(name):
    torch.manual_seed(0)
    if name == "small":
        model = small(VOCABULARY, Shape(layers=2, width=32, heads=2, context=64), seed=1)
    elif name == "llama":
        model = hf.LlamaForCausalLM(hf.LlamaConfig(**COMMON))
    elif name == "qwen2":
        model = hf.Qwen2ForCausalLM(hf.Qwen2Config(**{k: v for k, v in COMMON.items() if k != "head_dim"}))
    elif name == "qwen3":
        model = hf.Qwen3ForCausalLM(hf.Qwen3Config(**COMMON))
    elif name == "gemma3":
        extra = {"sliding_window": 5, "layer_types": GEMMA_LAYERS, "query_pre_attn_scalar": 8}
        model = hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**COMMON, **extra))
    elif name == "mistral":
        model = hf.MistralForCausalLM(hf.MistralConfig(**COMMON, sliding_window=6))
    else:
        config = hf.GPT2Config(
            vocab_size=VOCABULARY.size, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1
        )
        model = hf.GPT2LMHeadModel(config)
    # Larger weights than at initialisation, so that attention is far from uniform and a wrong mask shows.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model.float().eval()


def _oracle(model, context, path):
    """Hidden state after `context` + `path`, without padding, cache or mask."""
    tokens = torch.cat([context, path]).unsqueeze(0)
    with torch.inference_mode():
        return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state[0, -1]


@pytest.mark.parametrize("family", ["small", "llama", "qwen2", "qwen3", "gemma3", "mistral", "gpt2"])
def test_beams_equal_rows_read_from_the_start(family):
    model = _family(family)
    draws = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, VOCABULARY.size, (3, 9), generator=draws)
    lengths = torch.tensor([9, 4, 1])
    context = decode.prefill(model, tokens, lengths)
    assert not isinstance(context.engine, decode.RepeatEngine)
    rows = [tokens[row, : lengths[row]] for row in range(3)]
    for row in range(3):
        torch.testing.assert_close(
            context.hidden[row], _oracle(model, rows[row], tokens[0, :0]), atol=1e-4, rtol=1e-5
        )
    paths = [[tokens[0, :0]] for _ in rows]
    for beams in (3, 5, 4):  # the number of beams may change from level to level
        fed = torch.randint(0, VOCABULARY.size, (3, beams), generator=draws)
        parents = torch.randint(0, len(paths[0]), (3, beams), generator=draws)
        hidden = decode.advance(context, fed, parents)
        paths = [
            [torch.cat([paths[r][parents[r, b]], fed[r, b : b + 1]]) for b in range(beams)] for r in range(3)
        ]
        for row in range(3):
            for beam in range(beams):
                expected = _oracle(model, rows[row], paths[row][beam])
                torch.testing.assert_close(hidden[row, beam], expected, atol=1e-4, rtol=1e-5)


def test_batched_equals_alone():
    model = _family("small")
    tokens = torch.randint(0, VOCABULARY.size, (4, 7), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([7, 3, 5, 1])
    together = decode.prefill(model, tokens, lengths)
    fed, parents = tokens[:, :2], torch.zeros(4, 2, dtype=torch.int64)
    hidden = decode.advance(together, fed, parents)
    for row in range(4):
        alone = decode.prefill(model, tokens[row : row + 1, : lengths[row]], lengths[row : row + 1])
        torch.testing.assert_close(together.hidden[row : row + 1], alone.hidden, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            hidden[row : row + 1],
            decode.advance(alone, fed[row : row + 1], parents[:1]),
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize("family", ["small", "gemma3"])
def test_sliced_heads_equal_rows_of_the_full_head(family):
    model = _family(family)
    tokens = torch.arange(12).view(2, 6)
    context = decode.prefill(model, tokens, torch.tensor([6, 6]))
    with torch.inference_mode():
        full = model(tokens).logits[:, -1]
    for level, head in enumerate(decode.level_heads(model, VOCABULARY)):
        torch.testing.assert_close(
            context.hidden @ head.T, full[:, VOCABULARY.sid_slice(level)], atol=1e-6, rtol=1e-5
        )


def test_the_probe_falls_back_to_rows_when_the_mask_is_ignored(monkeypatch):
    model = _family("gpt2")
    assert isinstance(
        decode.prefill(model, torch.ones(1, 2, dtype=torch.int64), torch.tensor([2])).engine,
        decode.TreeEngine,
    )
    other = _family("gpt2")
    monkeypatch.setattr(decode.TreeEngine, "_mask", lambda self, positions, allowed, tree: None)
    assert isinstance(
        decode.prefill(other, torch.ones(1, 2, dtype=torch.int64), torch.tensor([2])).engine,
        decode.RepeatEngine,
    )


def test_bad_requests_are_refused():
    model = _family("small")
    with pytest.raises(ModelError, match="shorten"):
        decode.prefill(model, torch.ones(1, 65, dtype=torch.int64), torch.tensor([65]))
    with pytest.raises(ModelError, match="soft-caps"):
        model.config.final_logit_softcapping = 30.0
        decode.level_heads(model, VOCABULARY)
