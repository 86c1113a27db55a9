"""Llama-shaped trunks (Llama, Qwen2, Qwen3) by hand: about the same arithmetic as transformers with far less
around it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from tastemaker.lm.decoding.tree import Tree, additive, last_hidden, rotate

FAMILIES = ("llama", "qwen2", "qwen3")


def fits(model: Any) -> bool:
    """Whether the model is one of `FAMILIES` with full attention in every layer and nothing unusual around
    it.
    """
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type in FAMILIES
        and kinds == {"full_attention"}
        and getattr(config, "pretraining_tp", 1) in (None, 1)
        and rope.get("rope_type", "default") in ("default", "linear", "llama3")
    )


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)


def _heads(attention: Any, name: str, h: torch.Tensor) -> torch.Tensor:
    """Queries, keys or values (R, heads, T, head width), normalised where the family does."""
    part = getattr(attention, f"{name}_proj")(h).view(*h.shape[:2], -1, attention.head_dim)
    norm = getattr(attention, f"{name}_norm", None)
    return (part if norm is None else _norm(norm, part)).transpose(1, 2)


class LlamaEngine:
    """Key and value cache of R rows; `prefill` once, then one `level` per Semantic-ID level."""

    def __init__(self, model: Any) -> None:
        self.trunk = model.base_model
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def prefill(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Hidden state (R, d) after each row of right-padded `tokens` (R, C).

        In the last layer only the last token's query and MLP are computed: nothing else is read.
        """
        x = self.trunk.embed_tokens(tokens)
        places = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        cos, sin = (part.unsqueeze(1) for part in self.trunk.rotary_emb(x, places))
        for layer in self.trunk.layers:
            h = _norm(layer.input_layernorm, x)
            keys, values = self._project(layer.self_attn, h, cos, sin)
            self.keys.append(keys)
            self.values.append(values)
            if layer is not self.trunk.layers[-1]:
                x = self._finish(layer, x, self._query(layer.self_attn, h, cos, sin), keys, values, None)
        last = (lengths - 1).unsqueeze(1)
        seen = (places <= last).unsqueeze(1)
        query = self._query(
            layer.self_attn,
            last_hidden(h, lengths).unsqueeze(1),
            cos[0, 0][last].unsqueeze(1),
            sin[0, 0][last].unsqueeze(1),
        )
        x = self._finish(
            layer, last_hidden(x, lengths).unsqueeze(1), query, keys, values, additive(seen, x.dtype)
        )
        return _norm(self.trunk.norm, x).squeeze(1)

    def level(
        self, tokens: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor, tree: Tree
    ) -> torch.Tensor:
        """Hidden states (R, B, d) of beam `tokens` (R, B) at `positions`, looking where `allowed` (R, B,
        K).
        """
        x = self.trunk.embed_tokens(tokens)
        cos, sin = (part.unsqueeze(1) for part in self.trunk.rotary_emb(x, positions))
        mask = additive(allowed, x.dtype)
        for index, layer in enumerate(self.trunk.layers):
            h = _norm(layer.input_layernorm, x)
            keys, values = self._project(layer.self_attn, h, cos, sin)
            self.keys[index] = torch.cat([self.keys[index], keys], dim=2)
            self.values[index] = torch.cat([self.values[index], values], dim=2)
            query = self._query(layer.self_attn, h, cos, sin)
            x = self._finish(layer, x, query, self.keys[index], self.values[index], mask)
        return _norm(self.trunk.norm, x)

    def _project(
        self, attention: Any, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys (rotated) and values, each (R, heads, T, head width)."""
        keys, values = (_heads(attention, name, h) for name in "kv")
        return rotate(keys, cos, sin), values

    def _query(self, attention: Any, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return rotate(_heads(attention, "q", h), cos, sin)

    def _finish(
        self,
        layer: Any,
        x: torch.Tensor,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention (causal without a mask), its residual, and the MLP with its residual."""
        attended = F.scaled_dot_product_attention(
            query,
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=layer.self_attn.scaling,
            enable_gqa=query.shape[1] != keys.shape[1],
        )
        x = x + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
        result: torch.Tensor = x + layer.mlp(_norm(layer.post_attention_layernorm, x))
        return result
