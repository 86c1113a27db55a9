"""Other families: tree attention through transformers where it is exact, repeated rows where it is not."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from tastemaker.lm.decoding.tree import Tree, additive, last_hidden


class TreeEngine:
    """Tree attention with a transformers `DynamicCache` and a 4-D mask."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache = DynamicCache()  # without a config: no layer forgets keys, the mask does the windowing

    def prefill(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Hidden state (R, d) after each row of right-padded `tokens` (R, C)."""
        output = self.model.base_model(input_ids=tokens, past_key_values=self.cache, use_cache=True)
        return last_hidden(output.last_hidden_state, lengths)

    def level(
        self, tokens: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor, tree: Tree
    ) -> torch.Tensor:
        """Hidden states (R, B, d) of beam `tokens` (R, B) at `positions`, looking where `allowed` (R, B,
        K).
        """
        output = self.model.base_model(
            input_ids=tokens,
            attention_mask=self._mask(positions, allowed, tree),
            position_ids=positions.contiguous(),
            past_key_values=self.cache,
            use_cache=True,
        )
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def _mask(self, positions: torch.Tensor, allowed: torch.Tensor, tree: Tree) -> Any:
        """One additive mask, or one per kind of layer for families with windows."""
        config = self.model.config
        dtype = self.model.get_input_embeddings().weight.dtype
        full = additive(allowed, dtype)
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or [])
        if not window or (kinds and "sliding_attention" not in kinds):
            return full
        near = positions.unsqueeze(2) - tree.key_positions().unsqueeze(1) < window
        windowed = additive(allowed & near, dtype)
        return {"full_attention": full, "sliding_attention": windowed} if kinds else windowed


class RepeatEngine:
    """Every beam is a row of its own that is read from the start at each level: slow, right for every causal
    LM.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        device = next(model.parameters()).device
        self.context = self.lengths = torch.empty(0, dtype=torch.int64, device=device)
        self.fed = torch.empty(0, dtype=torch.int64, device=device)  # (R, slots) token of every slot

    def prefill(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Hidden state (R, d) after each row of right-padded `tokens` (R, C)."""
        self.context, self.lengths, self.fed = tokens, lengths, tokens[:, :0]
        return last_hidden(
            self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state, lengths
        )

    def level(
        self, tokens: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor, tree: Tree
    ) -> torch.Tensor:
        """Hidden states (R, B, d) of beam `tokens` (R, B); the paths come from the tree's ancestors."""
        rows, beams = tokens.shape
        self.fed = torch.cat([self.fed, tokens], dim=1)
        assert tree.ancestors is not None
        path = self.fed.gather(1, tree.ancestors.flatten(1)).view(rows * beams, tree.depth)
        width = self.context.shape[1]
        full = torch.nn.functional.pad(self.context, (0, tree.depth)).repeat_interleave(beams, dim=0)
        lengths = self.lengths.repeat_interleave(beams)
        places = lengths.unsqueeze(1) + torch.arange(tree.depth, device=lengths.device)
        full = full.scatter(1, places, path)
        hidden = self.model.base_model(
            input_ids=full[:, : width + tree.depth], use_cache=False
        ).last_hidden_state
        return last_hidden(hidden, lengths + tree.depth).view(rows, beams, -1)
