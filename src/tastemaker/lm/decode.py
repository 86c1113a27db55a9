"""Run a model for beam search: read the context once, then one level of beams at a time, by tree attention
through transformers where it is exact for the family of models, by repeated rows where it is not.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch

from tastemaker.errors import ModelError
from tastemaker.lm.training.losses import head_weight
from tastemaker.lm.tree import Tree, additive, last_hidden
from tastemaker.lm.vocabulary import Vocabulary


class TreeEngine:
    """Tree attention with a transformers `DynamicCache` and a 4-D mask."""

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache  # a second to import, for pretrained bases alone

        self.model = model
        self.cache = DynamicCache()  # without a config: no layer forgets keys, the mask does the windowing

    def prefill(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Hidden state (R, d) after each row of right-padded `tokens` (R, C)."""
        output = self.model.base_model(input_ids=tokens, past_key_values=self.cache, use_cache=True)
        return last_hidden(output.last_hidden_state, lengths)

    def level(
        self, tokens: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor, tree: Tree
    ) -> torch.Tensor:
        """Hidden states (R, B, d) of `tokens` (R, B) at `positions`, looking where `allowed` (R, B, K)."""
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
    """Every beam is a row of its own, read from the start at each level: slow, right for causal LMs."""

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


Engine = TreeEngine | RepeatEngine
# Which transformers models passed the probe; keyed weakly, so that a model's end is not delayed.
_probed: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


@dataclass
class Context:
    """R prefilled rows and beams grown from them: `hidden` (R, d) is the state after each last token."""

    hidden: torch.Tensor
    tree: Tree
    engine: Engine


@torch.inference_mode()
def prefill(model: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> Context:
    """Read R contexts once.

    tokens: (R, C) int64, padded at the **right** with any token.
    lengths: (R,) int64, real tokens of each row, 1 to C.

    Raises ModelError for a context longer than the model's.
    """
    device = model.get_input_embeddings().weight.device
    tokens, lengths = tokens.to(device), lengths.to(device)
    tokens = tokens[:, : int(lengths.max())]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and tokens.shape[1] > longest:
        raise ModelError(
            f"prefill: a context has {tokens.shape[1]} tokens, the model reads {longest}; shorten the history"
        )
    engine = _engine(model)
    return Context(engine.prefill(tokens, lengths), Tree(lengths, tokens.shape[1]), engine)


@torch.inference_mode()
def advance(context: Context, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
    """Feed the next token of every beam and return its hidden state (R, B, d).

    The B beams of a row are B query positions of that row with the same position id; a 4-D mask shows each
    one its context without the padding, its ancestors' slots and itself. Keys and values are never copied or
    reordered, the cache of a row has C + B (L - 1) places at the end. B may change from level to level.

    tokens: (R, B) int64 token ids.
    parents: (R, B) int64 beam of the level before that each one continues; ignored at the first level.
    """
    device = context.hidden.device
    tokens, parents = tokens.to(device), parents.to(device)
    positions, allowed = context.tree.grow(tokens.shape[1], parents)
    return context.engine.level(tokens, positions, allowed, context.tree)


def level_heads(model: Any, vocabulary: Vocabulary) -> list[torch.Tensor]:
    """Output rows (K_l, d) by level, views of the model's matrix: `hidden @ head.T` are its logits."""
    weight = head_weight(model).detach()
    return [weight[vocabulary.sid_slice(level)] for level in range(vocabulary.levels)]


def _engine(model: Any) -> Engine:
    if model not in _probed:
        _probed[model] = _tree_is_exact(model)
    return TreeEngine(model) if _probed[model] else RepeatEngine(model)


def _tree_is_exact(model: Any) -> bool:
    """Whether tree attention through transformers equals repeated rows on a small, hard case.

    Two rows of different length, two levels, parents crossed over, and more places than a short window.
    """
    device = model.get_input_embeddings().weight.device
    window = min(getattr(model.config, "sliding_window", None) or 1, 64)
    width = 4 + window
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = (torch.arange(2 * width, device=device).view(2, width) * 7 + 3) % rows
    lengths = torch.tensor([width, width - 2], device=device)
    crossed = torch.tensor([[2, 0, 1], [1, 1, 0]], device=device)
    results = []
    for kind in (TreeEngine, RepeatEngine):
        try:
            engine: Engine = kind(model)
            context = Context(engine.prefill(tokens, lengths), Tree(lengths, width), engine)
            first = advance(context, tokens[:, :3], torch.zeros_like(crossed))
            results.append(torch.stack([first, advance(context, tokens[:, 1:4], crossed)]))
        except (TypeError, ValueError, RuntimeError, KeyError, AttributeError):
            results.append(torch.full((1,), torch.nan, device=tokens.device))
    tree, repeated = results
    scale = 1e-4 if tree.dtype == torch.float32 else 5e-2
    return tree.shape == repeated.shape and bool(torch.allclose(tree, repeated, atol=scale, rtol=scale))
