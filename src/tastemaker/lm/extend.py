"""Add Semantic-ID and separator tokens to a pretrained model and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
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
SPREAD = 3.0  # rows that start as strong as they end up: 3 did better than 1 on the Beauty validation part

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
    loss of a guess allows (rows as long as those of text made it 20 nats above that). Both matrices are
    extended when they are not tied. bos, eos and pad stay on the rows that the base already has.

    Raises
    ------
    ModelError
        when the tokenizer already has such tokens or numbers them otherwise than in order.
    """
    rows = {name: getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos", "pad")}
    aliases = tuple((name, int(row)) for name, row in rows.items() if row is not None)
    vocabulary = Vocabulary(len(tokenizer), tuple(map(int, sizes)), SPECIALS, "tokenizer", aliases)
    names = vocabulary.added()
    taken = sorted(set(names) & set(tokenizer.get_vocab()))
    if taken:
        raise ModelError(
            f"the tokenizer already has '{taken[0]}'; start from the model as it was before extension"
        )
    tokenizer.add_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True
    )
    check_ids(tokenizer, vocabulary)
    old = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    _initialise(model, vocabulary, min(old, vocabulary.base_size), codewords, seed)
    return vocabulary


def shorten(model: Any, layers: int) -> None:
    """Keep the first `layers` layers of a model's trunk. ModelError where it has fewer, or no list of
    them.
    """
    config, own = model.config.get_text_config(), getattr(model.base_model, "layers", None)
    if own is None or layers > len(own):
        raise ModelError(
            f"base_layers is {layers}, the base has {0 if own is None else len(own)} layers that can be cut;"
            " lower it, or set it to 0"
        )
    model.base_model.layers = own[:layers]
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


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
            place, size = vocabulary.sid_slice(level), vocabulary.sizes[level]
            if len(words) != size:
                raise ModelError(
                    f"codewords of level {level + 1}: {len(words)} rows, the vocabulary has {size} codes"
                )
            centred = torch.from_numpy(words - words.mean(0)).to(rows)
            rows[place.start - old : place.stop - old] = centred * spread
        matrix[old:] = (mean + rows).to(matrix.dtype)
    if codewords:
        _quieten(model, vocabulary, seed)


def _quieten(model: Any, vocabulary: Vocabulary, seed: int) -> None:
    """Draw the output rows of each level's codes together until their logits spread by `LOUDEST`, on random
    sequences of codes and text: the first loss is then that of a guess, and near codes are still near.
    """
    draws, people, sizes = generator(seed, "probe"), (16, 8), (*vocabulary.sizes, *[vocabulary.base_size] * 4)
    starts = (*vocabulary.sid_starts[: vocabulary.levels], *[0] * 4)
    items = [begin + draws.integers(size, size=people) for begin, size in zip(starts, sizes, strict=True)]
    weight = model.get_output_embeddings().weight
    probe = torch.from_numpy(np.stack(items, axis=2).reshape(people[0], -1)).to(weight.device)
    for _ in range(3):  # where matrices are tied, quieter rows are read otherwise too
        hidden = model.base_model(input_ids=probe, use_cache=False).last_hidden_state.flatten(0, 1)
        for level in range(vocabulary.levels):
            rows = weight[vocabulary.sid_slice(level)]
            mean = rows.mean(0)
            loud = float((hidden @ (rows - mean).T).float().std(1, correction=0).mean())
            rows.sub_(mean).mul_(min(1.0, LOUDEST / max(loud, 1e-12))).add_(mean)


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
