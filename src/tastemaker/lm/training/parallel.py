"""Data parallel training under `torchrun`: the first process does all that one process does, the others only
learn along.

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
    """What the first process tells the others: they call this without a value and get it, their tensors on
    the device of their own.
    """
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


def own_device() -> torch.device:
    """The GPU of this process where there are any."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


@contextmanager
def together(learn_along: Callable[[], None]) -> Iterator[bool]:
    """Join the processes that `torchrun` started; true in the first one, which is to do the work. The others
    do `learn_along` until it is done, before the block.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        if rank():
            learn_along()
            yield False
        else:
            yield True
            tell()
    finally:
        dist.destroy_process_group()
