"""Add Semantic-ID and separator tokens to a pretrained model and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import AddedToken

from tastemaker.errors import ModelError
from tastemaker.lm.base import check_ids
from tastemaker.lm.vocabulary import SPECIALS, Vocabulary
from tastemaker.stats.random import generator

NOISE = 0.1  # of the old rows' standard deviation
LOUDEST = 0.5  # standard deviation of the first logits of codes: about an eighth of a nat above a guess

Rows = npt.NDArray[np.floating[Any]]


def extend(
    model: Any,
    tokenizer: Any,
    sizes: Sequence[int],
    codewords: Sequence[Rows] | None = None,
    seed: int = 0,
) -> Vocabulary:
    """Append `<sid_l_c>` level by level, then specials, to `model` and `tokenizer` in place.

    New rows start at the mean old row plus noise of a tenth of the old standard deviation; with `codewords`,
    one (K_l, D) array a level, SID rows start at the mean plus the rotated codewords, as far out as the first
    loss of a guess allows (rows as long as those of text made it 16 nats above that). Both matrices are
    extended when they are not tied. bos, eos and pad stay on the rows that the base already has.

    Raises ModelError when the tokenizer already has such tokens or numbers them otherwise than in order.
    """
    rows = {name: getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos", "pad")}
    aliases = tuple((name, int(row)) for name, row in rows.items() if row is not None)
    vocabulary = Vocabulary(len(tokenizer), tuple(map(int, sizes)), SPECIALS, "tokenizer", aliases)
    names = vocabulary.added()
    if clashes := sorted(set(names) & set(tokenizer.get_vocab())):
        raise ModelError(
            f"the tokenizer already has '{clashes[0]}'; start from the model as it was before extension"
        )
    tokenizer.add_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True
    )
    check_ids(tokenizer, vocabulary)
    old = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    _initialise(model, vocabulary, min(old, vocabulary.base_size), codewords, seed)
    return vocabulary


@torch.no_grad()
def shorten(model: Any, layers: int) -> None:
    """Keep the first `layers` layers of a model's trunk, and scale its last norm so that logits of text
    spread as they did: that norm is made for what the last layer says, and on the state after four layers of
    SmolLM2 it made a loss of 19 nats a token of text, 9 so. ModelError: it has fewer, or no list.
    """
    config, trunk = model.config.get_text_config(), getattr(model.base_model, "layers", None)
    if trunk is None or layers > len(trunk):
        raise ModelError(
            f"base_layers is {layers}, the base has {0 if trunk is None else len(trunk)} layers that can be"
            " cut; lower it, or set it to 0"
        )
    rows, norm = model.get_output_embeddings().weight, getattr(model.base_model, "norm", None)
    before = _loudness(model, [(0, len(rows))], rows)
    model.base_model.layers = trunk[:layers]
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    if norm is not None:
        gain = norm(torch.ones_like(norm.weight))  # the weight, or one more than it
        norm.weight.add_(gain * (before / _loudness(model, [(0, len(rows))], rows) - 1))


def _loudness(model: Any, spans: Sequence[tuple[int, int]], rows: torch.Tensor) -> float:
    """Deviation of logits of `rows` (K, d) about their mean row, after tokens of each span [start, stop)."""
    draws, (starts, stops) = generator(0, "probe"), np.array([*spans] * (48 // len(spans))).T
    tokens = torch.from_numpy(draws.integers(starts, stops, (16, len(starts)))).to(rows.device)
    hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state.flatten(0, 1)
    return max(float((hidden @ (rows - rows.mean(0)).T).float().std(1, correction=0).mean()), 1e-12)


@torch.no_grad()
def _initialise(
    model: Any, vocabulary: Vocabulary, old: int, codewords: Sequence[Rows] | None, seed: int
) -> None:
    matrices = {"input": model.get_input_embeddings().weight, "output": model.get_output_embeddings().weight}
    if matrices["output"] is matrices["input"]:
        del matrices["output"]
    for name, matrix in matrices.items():
        known = matrix[:old].float()
        mean, spread = known.mean(0), known.std(0)
        draws = generator(seed, "new rows", name)
        noise = draws.standard_normal((matrix.shape[0] - old, matrix.shape[1]), dtype=np.float32)
        rows = torch.from_numpy(noise).to(matrix.device) * (NOISE * spread)
        for level, words in enumerate(codeword_rows(codewords, len(mean), seed) if codewords else []):
            place = vocabulary.sid_slice(level)
            centred = torch.from_numpy(words - words.mean(0)).to(rows)
            rows[place.start - old : place.stop - old] = centred * spread
        matrix[old:] = (mean + rows).to(matrix.dtype)
    weight, levels = model.get_output_embeddings().weight, range(vocabulary.levels if codewords else 0)
    spans = [*pairwise(vocabulary.sid_starts), *[(0, old)] * 4]  # an item: its codes and some text
    for rows in [weight[vocabulary.sid_slice(level)] for level in levels] * 3:  # tied, they are read so too
        mean, quieter = rows.mean(0), min(1.0, LOUDEST / _loudness(model, spans, rows))
        rows.sub_(mean).mul_(quieter).add_(mean)


def codeword_rows(codewords: Sequence[Rows], width: int, seed: int) -> list[npt.NDArray[np.float64]]:
    """The codewords (K_l, D) of all levels rotated into (K_l, width), their principal directions where D is
    larger, with one scale for all: the root mean square of level 1 is 1.
    """
    stacked = np.concatenate([np.asarray(words, np.float64) for words in codewords])
    directions = np.linalg.svd(stacked, full_matrices=False)[2][:width]
    draws = generator(seed, "codeword rotation").standard_normal((width, width))
    turn = directions.T @ np.linalg.qr(draws)[0][: len(directions)]
    first = np.asarray(codewords[0], np.float64) @ turn
    scale = max(float(np.sqrt(np.square(first).mean())), 1e-12)
    return [np.asarray(words, np.float64) @ turn / scale for words in codewords]
