"""A small Llama with random weights over bytes and a token a code: what recipes, benchmarks and tests train
where a pretrained base would take too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tastemaker.errors import ModelError
from tastemaker.lm.extend import Rows, codeword_rows
from tastemaker.lm.vocabulary import BYTES, SPECIALS, Vocabulary

SPREAD = 3.0  # rows that start as strong as they end up: 3 did better than 1 on the Beauty validation part
# Tags cost one token each, which suits a model that reads bytes.
TAGS = (
    "{sid}<|text|>{title}",
    "{title}<|item|>{sid}",
    "{sid}<|attributes|>{attributes}",
    "{attributes}<|item|>{sid}",
    "{sid}<|text|>{text}",
    "{text}<|item|>{sid}",
)


@dataclass(frozen=True)
class Shape:
    """Size of a `small` decoder: about `layers * 12 * width^2 + tokens * width` parameters with the default
    `mlp`.
    """

    layers: int = 4
    width: int = 192
    heads: int = 6
    mlp: float = 8 / 3
    context: int = 1024
    init_std: float = 0.02

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.context) < 1 or self.width % (2 * self.heads):
            raise ModelError(
                f"shape: width {self.width} must be an even multiple of heads {self.heads}, and every size"
                " positive"
            )


def small(vocabulary: Vocabulary, shape: Shape | None = None, seed: int = 0) -> Any:
    """A Llama-style decoder with random weights and tied embeddings over `vocabulary`; float32, sdpa
    attention.

    Initialised from `seed` without touching torch's global generator.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = shape or Shape()
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.width,
        intermediate_size=max(8, round(shape.mlp * shape.width / 8) * 8),
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=shape.init_std,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=vocabulary.special("bos"),
        eos_token_id=vocabulary.special("eos"),
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    with torch.no_grad():  # what is added to the residual stream starts small, as in GPT-2, however deep
        for layer in model.model.layers:
            for matrix in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
                matrix.div_((2 * shape.layers) ** 0.5)
    return model.float().eval()


def build_small(sizes: Sequence[int], specials: Sequence[str] = SPECIALS) -> Vocabulary:
    """Vocabulary of the `small` base: bytes, SIDs with K_l = `sizes`, specials."""
    return Vocabulary(BYTES, tuple(int(size) for size in sizes), tuple(specials))


@torch.no_grad()
def place_codewords(model: Any, vocabulary: Vocabulary, codewords: Sequence[Rows], seed: int) -> None:
    """Start the Semantic-ID rows of a model with random weights at their codewords, so that near codes start
    near.

    Level 1 has `SPREAD` times the spread of random rows, finer levels stay smaller corrections. Levels beyond
    `codewords` (a suffix that counts) keep their random rows. For tied embeddings.
    """
    matrix = model.get_input_embeddings().weight
    scale = SPREAD * float(matrix.std())
    for level, rows in enumerate(codeword_rows(codewords, matrix.shape[1], seed)):
        place = vocabulary.sid_slice(level)
        matrix[place] = 0.1 * matrix[place] + torch.from_numpy(rows * scale).to(matrix)


def encode_bytes(text: str) -> list[int]:
    """UTF-8 bytes of `text` as tokens; lone surrogates survive."""
    return list(text.encode("utf-8", "surrogatepass"))


def decode_bytes(tokens: Iterable[int]) -> str:
    """Text of byte tokens; other tokens are dropped, and bytes that are no UTF-8 become U+FFFD."""
    raw = bytes(token for token in tokens if 0 <= token < BYTES)
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")
