"""What a model needs for dialogues: pieces of words in place of bytes, tokens for its turns, and replies word
by word.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tastemaker.errors import ModelError
from tastemaker.lm.base import check_ids
from tastemaker.lm.vocabulary import BYTES, Vocabulary
from tastemaker.stats.random import generator

NOISE = 0.1  # of the old rows' standard deviation


def add_words(
    model: Any,
    vocabulary: Vocabulary,
    tokenizer: Any,
    texts: Iterable[str],
    specials: Sequence[str],
    pieces: int,
    seed: int,
) -> tuple[Any, Vocabulary, Any]:
    """A copy of the model with rows for `specials`, and, if it reads bytes, about `pieces` pieces of words
    learnt from `texts`.

    Byte-level BPE (Sennrich et al. 2016; any text comes back), so a conversation is several times shorter. A
    piece starts at the mean of its bytes' rows, a new special at the mean row, each with a tenth of the rows'
    spread as noise; Semantic IDs and old specials keep their rows.

    Raises
    ------
    ModelError
        when the model already has one of the specials, or the tokenizer numbers tokens otherwise than in
        order.
    """
    taken = sorted(set(specials) & set(vocabulary.specials))
    if taken:
        raise ModelError(f"the model already has a '{taken[0]}' token; start from the model as it was before")
    fresh = copy.deepcopy(model)
    wider = replace(vocabulary, specials=(*vocabulary.specials, *specials))
    if vocabulary.kind == "bytes":
        tokenizer = _learn_pieces(texts, pieces)
        wider = replace(wider, base_size=len(tokenizer), kind="tokenizer")
        names = wider.added()
    else:
        tokenizer = copy.deepcopy(tokenizer)
        names = wider.added()[len(vocabulary.added()) :]
    tokenizer.add_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True
    )
    check_ids(tokenizer, wider)
    sources = _sources(vocabulary, wider, tokenizer)
    _move_rows(fresh, sources, wider.size, seed)
    return fresh.eval(), wider, tokenizer


def _learn_pieces(texts: Iterable[str], pieces: int) -> Any:
    """A byte-level BPE tokenizer; the 256 bytes come first."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=max(pieces, BYTES), initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, clean_up_tokenization_spaces=False)


def _sources(old: Vocabulary, new: Vocabulary, tokenizer: Any) -> list[list[int]]:
    """For each new row the old rows whose mean it starts at; none for the mean of all."""
    if old.kind == "bytes":
        letters = {letter: byte for byte, letter in _byte_letters().items()}
        text = [
            [letters[letter] for letter in piece]
            for piece in tokenizer.convert_ids_to_tokens(range(new.base_size))
        ]
    else:
        text = [[row] for row in range(new.base_size)]
    known = {name: old.base_size + place for place, name in enumerate(old.added())}
    return text + [[known[name]] if name in known else [] for name in new.added()]


def _byte_letters() -> dict[int, str]:
    """The letter that byte-level BPE writes for each byte (the table of GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(BYTES + place) for place, byte in enumerate(others)
    }


@torch.no_grad()
def _move_rows(model: Any, sources: Sequence[Sequence[int]], size: int, seed: int) -> None:
    """Resize both matrices and fill each row from the mean of its sources."""
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    old = [
        part.weight.detach().clone() for part in (model.get_input_embeddings(), model.get_output_embeddings())
    ]
    model.resize_token_embeddings(size, mean_resizing=False)
    parts = [model.get_input_embeddings(), model.get_output_embeddings()][: 1 if tied else 2]
    for number, part in enumerate(parts):
        rows = old[number]
        mean, spread = rows.mean(0), rows.std(0)
        noise = generator(seed, "new rows", number).standard_normal((size, rows.shape[1]), dtype="float32")
        for row, source in enumerate(sources):
            start = rows[list(source)].mean(0) if source else mean
            moved = torch.from_numpy(noise[row]).to(rows) * (NOISE * spread) if len(source) != 1 else 0.0
            part.weight[row] = start + moved
    model.config.vocab_size = size


@torch.inference_mode()
def reply(model: Any, vocabulary: Vocabulary, prompt: Sequence[int], longest: int = 64) -> list[int]:
    """Text tokens that follow `prompt` (which ends with the `text` token), greedily, up to `sep`; never an
    item.
    """
    end, base = vocabulary.special("sep"), vocabulary.base_size
    device = model.get_input_embeddings().weight.device
    allowed = torch.tensor([*range(base), end], device=device)
    tokens, past, out = torch.tensor([list(prompt)], device=device), None, []
    context = getattr(model.config, "max_position_embeddings", 1 << 30)
    for _ in range(min(longest, context - len(prompt))):
        result = model(input_ids=tokens, past_key_values=past, use_cache=True)
        chosen = int(allowed[int(result.logits[0, -1, allowed].argmax())])
        if chosen == end:
            break
        out.append(chosen)
        past, tokens = result.past_key_values, torch.tensor([[chosen]], device=device)
    return out
