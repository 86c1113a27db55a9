"""Dropout for models that have none, and an exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tastemaker.errors import ModelError

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn")


class Dropout:
    """Dropout on embeddings and on the outputs of attention and MLP blocks, by forward hooks; Llama has none
    of its own.

    Draws come from a generator seeded per step (`seed`), so a resumed run needs no generator state.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.rate = rate
        device = model.get_input_embeddings().weight.device
        self.generator = torch.Generator(device=device)
        self.handles = [module.register_forward_hook(self._hook) for module in _places(model)] if rate else []

    def seed(self, value: int) -> None:
        """Seed the draws of the step to come."""
        self.generator.manual_seed(value)

    def _hook(self, module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        if not module.training:
            return output
        tensor = output[0] if isinstance(output, tuple) else output
        keep = (
            torch.empty_like(tensor)
            .bernoulli_(1.0 - self.rate, generator=self.generator)
            .div_(1.0 - self.rate)
        )
        dropped = tensor * keep
        return (dropped, *output[1:]) if isinstance(output, tuple) else dropped

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self.handles:
            handle.remove()


def _places(model: Any) -> list[torch.nn.Module]:
    trunk = model.base_model
    layers = next((getattr(trunk, name) for name in ("layers", "h", "blocks") if hasattr(trunk, name)), None)
    found = [model.get_input_embeddings()]
    for layer in layers if layers is not None else []:
        for names in (ATTENTION, MLP):
            found += [getattr(layer, name) for name in names if hasattr(layer, name)][:1]
    if layers is None or len(found) != 1 + 2 * len(layers):
        raise ModelError(
            f"{model.config.model_type}: no place for dropout is known in this family; set dropout to 0"
        )
    return found


class Average:
    """Moving average of the trainable weights: a_t = d a_(t-1) + (1 - d) w_t, d = min(decay, (1 + t)/(10 +
    t)).
    """

    def __init__(self, parameters: dict[str, torch.nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.parameters = parameters
        self.values = {name: one.detach().clone() for name, one in parameters.items()} if decay else {}

    def update(self, step: int) -> None:
        """Move towards the weights after step `step` (counted from 1)."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(self.values.values()), [one.detach() for one in self.parameters.values()], 1 - decay
            )

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The average sits in the model inside the block, and the trained weights again after it."""
        if not self.decay:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, one in self.parameters.items():
            self.values[name], one.data = one.data, self.values[name]
