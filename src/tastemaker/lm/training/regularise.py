"""Dropout for models that have none, and an exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tastemaker.errors import ModelError

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn")


class Dropout:
    """Dropout on embeddings and on the outputs of attention and MLP blocks, by forward hooks; Llama has none.

    Draws come from a generator seeded per step (`seed`), so a resumed run needs no generator state.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.rate = rate
        self.generator = torch.Generator(device=next(model.parameters()).device)
        self.handles = [module.register_forward_hook(self._hook) for module in _places(model)] if rate else []

    def seed(self, value: int) -> None:
        """Seed the draws of the step to come."""
        self.generator.manual_seed(value)

    def _hook(self, module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        if not module.training:
            return output
        tensor = output[0] if isinstance(output, tuple) else output
        # Four draws of 16 bits from each number, in a fifth of the time of `bernoulli_` on a processor.
        bits = torch.empty(-(-tensor.numel() // 4), dtype=torch.int64, device=tensor.device)
        bits = bits.random_(-(2**63), None, generator=self.generator).view(torch.int16)
        mask = bits[: tensor.numel()].view(tensor.shape) >= round(self.rate * 2**16) - 2**15
        dropped = tensor * mask.to(tensor.dtype).mul_(1.0 / (1.0 - self.rate))
        return (dropped, *output[1:]) if isinstance(output, tuple) else dropped

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self.handles:
            handle.remove()


def _places(model: Any) -> list[torch.nn.Module]:
    if hasattr(model, "dropout_places"):
        return list(model.dropout_places())
    trunk = model.base_model
    layers = next((getattr(trunk, name) for name in ("layers", "h", "blocks") if hasattr(trunk, name)), None)
    places = [model.get_input_embeddings()]
    for layer in layers if layers is not None else []:
        for names in (ATTENTION, MLP):
            places += [getattr(layer, name) for name in names if hasattr(layer, name)][:1]
    if layers is None or len(places) != 1 + 2 * len(layers):
        raise ModelError(
            f"{model.config.model_type}: no place for dropout is known in this family; set dropout to 0"
        )
    return places


def moving_average(model: Any, decay: float) -> AveragedModel | None:
    """Moving average of the weights, to be told of each step by `update_parameters`; None for a decay of 0.

    a_t = d a_(t-1) + (1 - d) w_t from a_0 = w_0, with d = min(decay, (1 + t) / (10 + t)): it forgets the
    start.
    """
    if not decay:
        return None

    def mix(averages: Any, weights: Any, seen: Any) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + int(seen)) / (10 + int(seen))))(averages, weights, seen)  # type: ignore[no-untyped-call]

    average = AveragedModel(model, multi_avg_fn=mix).eval()
    average.n_averaged += 1  # the weights at the start are the first it has seen
    return average
