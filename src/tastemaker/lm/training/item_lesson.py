"""What the small model learns from: windows of histories, and its two losses on each next item."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from tastemaker.lm.items import Catalogue, ItemModel
from tastemaker.lm.training.losses import Sums, at_least_float32
from tastemaker.stats.random import generator

NEGATIVES = 2048  # items drawn beside those of the batch; a softmax over all items did no better
Rows = npt.NDArray[np.int64]
PIECES = 4  # of a step's rows, by length, so that little is padding
EVENTS = 16384  # predicted at once: more are learnt in several portions


@dataclass(frozen=True, eq=False)
class ItemLesson:
    """Windows of item indices and how they are learnt: a `Task` of a training run.

    items (T,), target (T,) bool, offsets (W + 1,): the windows, `target` marking what is to be predicted.
    dense: weight of the dense loss beside that of the codes. half: large products in bfloat16. marks (T,) of
    the events, or None.
    """

    items: npt.NDArray[np.int64]
    target: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    catalogue: Catalogue
    seed: int
    dense: float = 1.0
    half: bool = False
    marks: npt.NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """How many windows there are."""
        return len(self.offsets) - 1

    @property
    def levels(self) -> int:
        """Code levels: losses are reported for each, and for the dense read-out after them."""
        return self.catalogue.codes.shape[1]

    @property
    def expected(self) -> float:
        """Predicted events a window, on average."""
        return float(self.target.sum()) / max(1, self.count)

    def identity(self) -> dict[str, str]:
        """Hashes of everything that a checkpoint must agree with."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.items, self.target, self.offsets, *(() if self.marks is None else (self.marks,))):
            digest.update(np.ascontiguousarray(array).tobytes())
        about = f"{self.seed} {self.dense} {self.half}"
        return {
            "examples": digest.hexdigest(),
            "lesson": about,
            "siblings": self.catalogue.tree.fingerprint(),
        }

    def sums(self, model: ItemModel, rows: Rows, step: int, batch: Rows) -> Iterator[tuple[Sums, int]]:
        """Losses of the windows `rows` of a step's `batch`, in as many portions as memory asks for, and
        events read in each.
        """
        lengths = np.diff(self.offsets)[rows]
        order = rows[np.argsort(lengths, kind="stable")]
        among = self._among(batch, step)
        portions = max(1, math.ceil(int(lengths.sum()) / EVENTS))
        for portion in np.array_split(order, portions):
            if len(portion):
                hidden, targets = self._states(model, portion)
                yield self._losses(model, hidden, targets, among), int(np.diff(self.offsets)[portion].sum())

    def _among(self, batch: Rows, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(m,) the items that the dense read-out tells apart in a step, and what corrects their logits: all
        items, or those that come in the batch (whoever learns it) and some that are drawn.
        """
        n, device = len(self.catalogue), self.catalogue.rows.device
        if n <= NEGATIVES:
            return torch.arange(n, device=device), torch.zeros(n, device=device)
        padded, predicted = self._padded(batch)
        present = generator(self.seed, "negatives", step).choice(n, NEGATIVES, replace=False)
        items = np.union1d(padded[predicted], present)
        # Items of the batch are there surely, others with probability NEGATIVES / n: corrected by -log q.
        shift = np.where(np.isin(items, padded[predicted]), 0.0, math.log(n / NEGATIVES)).astype(np.float32)
        return (
            torch.from_numpy(items).to(device, non_blocking=True),
            torch.from_numpy(shift).to(device, non_blocking=True),
        )

    def _states(self, model: ItemModel, rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, d) states, one before each predicted event, and (n,) the items that came."""
        states, targets = [], []
        for part in np.array_split(rows, PIECES):
            if not len(part):
                continue
            padded, predicted = self._padded(part)
            items = torch.from_numpy(padded).to(model.device, non_blocking=True)
            marks = None
            if self.marks is not None:
                own, _ = self._padded(part, self.marks)
                marks = torch.from_numpy(own[:, :-1]).to(model.device, non_blocking=True)
            place = torch.from_numpy(np.flatnonzero(predicted)).to(model.device, non_blocking=True)
            hidden = model.states(model.vectors(self.catalogue, items[:, :-1]), marks)
            states.append(hidden.flatten(0, 1)[place])
            targets.append(items.flatten()[place])
        return torch.cat(states), torch.cat(targets)

    def _padded(self, rows: Rows, of: Rows | None = None) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """(R, C) items (or what else is told `of` events), 0 where a row is over, and which of them are to be
        predicted.
        """
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        places = np.arange(int(lengths.max()))[None, :]
        inside = places < lengths[:, None]
        flat = np.where(inside, starts[:, None] + places, 0)
        return np.where(inside, (self.items if of is None else of)[flat], 0), inside & self.target[flat]

    def _losses(
        self, model: ItemModel, hidden: torch.Tensor, targets: torch.Tensor, among: tuple[torch.Tensor, ...]
    ) -> Sums:
        parts = [self._level(model, hidden, targets, level) for level in range(self.levels)]
        items, shift = among
        logits = self._product(model.dense(hidden), model.vectors(self.catalogue, items)) + shift
        parts.append(F.cross_entropy(logits, torch.searchsorted(items, targets), reduction="sum"))
        total = sum(parts[:-1], self.dense * parts[-1])
        told = torch.stack([part.detach() for part in parts]).double()
        return Sums(total, told, torch.full_like(told, len(targets)))

    def _level(
        self, model: ItemModel, hidden: torch.Tensor, targets: torch.Tensor, level: int
    ) -> torch.Tensor:
        """Summed cross-entropy of the code of `level` among those that exist after the codes before it."""
        codes, rows = self.catalogue.codes[targets], model.rows[level]
        query = model.query(hidden, level)
        if level == 0:
            nodes = self.catalogue.nodes[0]
            logits = self._product(query, rows[nodes[:, 1]])
            return F.cross_entropy(logits, self.catalogue.path[targets, 0], reduction="sum")
        prefix = torch.zeros_like(hidden)
        for above in range(level):
            prefix = prefix + F.embedding(codes[:, above], model.rows[above])
        query = query * model.gate(prefix, level)
        parents = self.catalogue.path[targets, level - 1]
        return self.catalogue.tree.losses(query, rows, level, codes[:, level], parents).sum()

    def _product(self, query: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """(n, m) logits."""
        with torch.autocast(query.device.type, torch.bfloat16, enabled=self.half):
            logits = query @ rows.T
        return at_least_float32(logits)
