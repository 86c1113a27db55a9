"""Replies word by word: the likeliest next token until the turn ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tastemaker.lm.vocabulary import Vocabulary


@torch.inference_mode()
def reply(model: Any, vocabulary: Vocabulary, prompt: Sequence[int], longest: int = 64) -> list[int]:
    """Text tokens that follow `prompt` (which ends with the `text` token), greedily, up to `sep`; never an
    item.
    """
    end, base = vocabulary.special("sep"), vocabulary.base_size
    allowed = torch.tensor([*range(base), end])
    tokens, past, out = torch.tensor([list(prompt)]), None, []
    context = getattr(model.config, "max_position_embeddings", 1 << 30)
    for _ in range(min(longest, context - len(prompt))):
        result = model(input_ids=tokens, past_key_values=past, use_cache=True)
        chosen = int(allowed[int(result.logits[0, -1, allowed].argmax())])
        if chosen == end:
            break
        out.append(chosen)
        past, tokens = result.past_key_values, torch.tensor([[chosen]])
    return out
