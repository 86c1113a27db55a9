"""Data parallel training under `torchrun`: the first process does all, the others learn along.

What is trained is sent to the others when its training begins (so that they need no workspace, and a run goes
on from its checkpoint with any number of processes); then each process learns from its part of every batch,
and the gradients are added up. Losses are those of one process up to rounding; what dropout draws differs.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

PATIENCE = timedelta(days=7)  # the others wait while the first process evaluates, or does other stages


def size() -> int:
    """How many processes learn together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 is the first."""
    return dist.get_rank() if dist.is_initialized() else 0


def part(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """This process's part of a batch."""
    return rows[rank() :: size()]


def add_up(tensors: list[torch.Tensor]) -> None:
    """Replace tensors of one type by their sums over all processes."""
    if size() > 1:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view_as(tensor))


def tell(value: Any = None) -> Any:
    """What the first process tells the others, who call this without a value, tensors on their device."""
    if size() == 1:
        return value
    buffer = io.BytesIO()
    torch.save(value, buffer)
    device = own_device()
    message = [buffer.getvalue()]
    dist.broadcast_object_list(message, src=0, device=device)
    if rank() == 0:
        return value
    return torch.load(io.BytesIO(message[0]), map_location=device, weights_only=False)


class Shards(torch.nn.Module):
    """A model whose trained weights, with their gradients and moments, are owned in parts, one a process
    (FSDP2). Between two steps of the optimiser all of it is gathered: what learns, validates or saves reads
    it as if it were whole.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        from torch.distributed.fsdp import fully_shard

        super().__init__()
        self.model = model
        self.owned: Any = fully_shard(self)
        self.owned.set_gradient_divide_factor(1.0)
        self.owned.set_force_sum_reduction_for_comms(True)  # sums, not means; gloo knows no other
        self.owned.set_reduce_scatter_unused_params(True)

    def forward(self, zero: torch.Tensor) -> torch.Tensor:
        """Nothing: learning went before, and gradients wait at the gathered weights."""
        return zero.clone()

    def gather(self) -> None:
        """Let the model hold all weights, as their owners have them."""
        self.owned.unshard()

    def settle(self) -> None:
        """Add the gradients of all processes up, each at its owner."""
        self(torch.zeros((), device=own_device(), requires_grad=True)).backward()

    def release(self) -> None:
        """Leave a plain model with all weights."""
        plain: dict[int, torch.nn.Parameter] = {}
        for module in self.model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                full = torch.nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                setattr(module, name, plain.setdefault(id(parameter), full))


def part_of(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What this process owns of a whole tensor, as of `like`."""
    if not hasattr(like, "device_mesh") or not value.ndim:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def full_tensor(value: torch.Tensor) -> torch.Tensor:
    """All of what is owned in parts; every process asks together."""
    full: Callable[[], torch.Tensor] = getattr(value, "full_tensor", lambda: value)
    return full()


def own_device() -> torch.device:
    """The GPU of this process where there are any."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


@contextmanager
def together(learn_along: Callable[[], None]) -> Iterator[bool]:
    """Join the processes of `torchrun`; true in the first. The others `learn_along` until its block ends."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        if rank():
            learn_along()
            yield False
        else:
            try:
                yield True
            except KeyboardInterrupt:  # the others wait for what comes next: nothing does
                tell()
                raise
            tell()
    finally:
        dist.destroy_process_group()
