"""Which cached slot each beam may look at: its context without the padding, its ancestors and itself."""

from __future__ import annotations

import torch


class Tree:
    """Bookkeeping of tree attention: R rows with a context of C places, then one block of slots per level.

    The cache of a row is [context (C) | slots of level 1 (B_1) | slots of level 2 (B_2) | ...]; nothing is
    ever moved.
    """

    def __init__(self, lengths: torch.Tensor, width: int) -> None:
        self.lengths, self.width = lengths, width
        self.depth = 0
        self.slots = 0
        self.ancestors: torch.Tensor | None = (
            None  # (R, B, depth) slot numbers, oldest first, of the newest level
        )
        self.slot_depth: list[int] = []

    def grow(self, beams: int, parents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a level of `beams` slots a row whose `parents` (R, B) index the level before (ignored at the
        first level).

        Returns positions (R, B), the same for all beams of a row, and a mask (R, B, C + slots), true where a
        beam may look.
        """
        rows = len(self.lengths)
        device = self.lengths.device
        new_slots = (self.slots + torch.arange(beams, device=device)).expand(rows, beams).unsqueeze(2)
        if self.ancestors is None:
            self.ancestors = new_slots
        else:
            path = self.ancestors.gather(1, parents.unsqueeze(2).expand(-1, -1, self.depth))
            self.ancestors = torch.cat([path, new_slots], dim=2)
        self.slots += beams
        self.slot_depth += [self.depth] * beams
        positions = (self.lengths + self.depth).unsqueeze(1).expand(rows, beams)
        self.depth += 1
        context = (
            (torch.arange(self.width, device=device) < self.lengths.unsqueeze(1))
            .unsqueeze(1)
            .expand(rows, beams, -1)
        )
        slots = torch.zeros(rows, beams, self.slots, dtype=torch.bool, device=device).scatter_(
            2, self.ancestors, True
        )
        return positions, torch.cat([context, slots], dim=2)

    def key_positions(self) -> torch.Tensor:
        """Position (R, C + slots) of every cached key, for families that only look back a window."""
        context = torch.arange(self.width, device=self.lengths.device).expand(len(self.lengths), -1)
        depths = torch.tensor(self.slot_depth, device=self.lengths.device)
        return torch.cat([context, self.lengths.unsqueeze(1) + depths], dim=1)


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive attention mask (R, 1, B, K): 0 where `allowed` (R, B, K), the smallest float elsewhere."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min).unsqueeze(1)


def last_hidden(hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Hidden state (R, d) of the last real token of right-padded rows (R, C, d)."""
    return hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions: both halves of the last axis turned by the angles of `cos` and `sin`."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin
