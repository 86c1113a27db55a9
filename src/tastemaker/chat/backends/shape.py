"""Answers in the shape asked for: at every step only tokens that a JSON schema still allows.

The shape is all that is forced; what stands in it is the model's own, and is validated like any answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

LONGEST = 160  # letters of a text, whatever more the schema allows: a small model seldom ends one by itself


class Shape(LogitsProcessor):  # type: ignore[misc]
    """For one answer to a prompt of `start` tokens: logits of tokens that would leave the schema become -inf.

    tokens: what `token_table` made of the model's tokenizer. Raises ValueError for a schema that cannot be
    followed.
    """

    def __init__(self, tokens: Any, schema: Mapping[str, Any], start: int) -> None:
        from llguidance import LLMatcher
        from llguidance.numpy import allocate_token_bitmask

        grammar = LLMatcher.grammar_from_json_schema(_short(schema), overrides={"whitespace_flexible": False})
        self._matcher, self._start = LLMatcher(tokens, grammar), start
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())
        self._bits = allocate_token_bitmask(1, tokens.vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores (1, V) after the tokens (1, T) so far."""
        from llguidance.numpy import fill_next_token_bitmask

        if input_ids.shape[1] > self._start:
            self._matcher.consume_token(int(input_ids[0, -1]))
        fill_next_token_bitmask(self._matcher, self._bits, 0)
        allowed = np.unpackbits(self._bits.view(np.uint8)[0], bitorder="little")[: scores.shape[1]]
        rest = scores.shape[1] - len(allowed)
        bad = torch.from_numpy(np.pad(allowed, (0, rest)) == 0).to(scores.device)
        return scores.masked_fill(bad, -torch.inf)


def token_table(tokenizer: Any) -> Any:
    """The tokenizer's tokens as the grammar engine reads them; made once a model."""
    from llguidance.hf import from_tokenizer

    return from_tokenizer(tokenizer)


def _short(schema: Any) -> Any:
    """The schema with every text at most LONGEST letters."""
    if isinstance(schema, list):
        return [_short(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _short(value) for name, value in schema.items()}
    if found.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(found):
        found["maxLength"] = min(LONGEST, found.get("maxLength", LONGEST))
    return found
