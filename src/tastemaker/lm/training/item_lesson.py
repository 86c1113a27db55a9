"""What the small model learns from: windows of histories, and its two losses on each next item."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from tastemaker.lm.items import Catalogue, ItemModel
from tastemaker.lm.training.batches import pieces
from tastemaker.lm.training.losses import Sums, entropy
from tastemaker.stats.random import generator

NEGATIVES = 2048  # items drawn beside those of the batch; a softmax over all items did no better
Rows = npt.NDArray[np.int64]
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

    @cached_property
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
        """Losses of windows `rows` of a step's `batch`, in portions as memory asks; events read in each."""
        lengths = self._lengths(rows)
        order = rows[np.argsort(lengths, kind="stable")]
        among = self._among(batch, step)
        portions = max(1, math.ceil(int(lengths.sum()) / EVENTS))
        for portion in np.array_split(order, portions):
            if len(portion):
                yield self._losses(model, portion, *among), int(self._lengths(portion).sum())

    def _among(self, batch: Rows, step: int) -> tuple[Rows, npt.NDArray[np.float32]]:
        """(m,) the items that the dense read-out tells apart in a step, sorted, and what corrects their
        logits: all items, or those that come in the batch (whoever learns it) and some that are drawn.
        """
        n = len(self.catalogue)
        if n <= NEGATIVES:
            return np.arange(n), np.zeros(n, np.float32)
        padded, predicted = self._padded(batch)
        present = generator(self.seed, "negatives", step).choice(n, NEGATIVES, replace=False)
        items = np.union1d(padded[predicted], present)
        # Items of the batch are there surely, others with probability NEGATIVES / n: corrected by -log q.
        shift = np.where(np.isin(items, padded[predicted]), 0.0, math.log(n / NEGATIVES)).astype(np.float32)
        return items, shift

    def _lengths(self, rows: Rows) -> Rows:
        """(R,) events of each window."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def _tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """The array where the model is."""
        return torch.from_numpy(array).to(self.catalogue.rows.device, non_blocking=True)

    def _padded(self, rows: Rows, of: Rows | None = None) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """(R, C) items (or what is told `of` events), 0 where a row is over, and which are predicted."""
        starts, lengths = self.offsets[rows], self._lengths(rows)
        places = np.arange(int(lengths.max()))[None, :]
        inside = places < lengths[:, None]
        flat = np.where(inside, starts[:, None] + places, 0)
        return np.where(inside, (self.items if of is None else of)[flat], 0), inside & self.target[flat]

    def _losses(self, model: ItemModel, rows: Rows, among: Rows, shift: npt.NDArray[np.float32]) -> Sums:
        """Losses of windows (R,), dense ones among items `among` (m,), logits corrected by `shift` (m,)."""
        padded = [(part, *self._padded(part)) for part in np.split(rows, pieces(self._lengths(rows)))]
        inputs = [items[:, :-1] for _, items, _ in padded]
        present = np.union1d(among, np.concatenate([items.ravel() for items in inputs]))
        vectors = model.vectors(self.catalogue, self._tensor(present))  # each row once, however often read
        states, targets = [], []
        for (part, items, predicted), before in zip(padded, inputs, strict=True):
            marks = None if self.marks is None else self._tensor(self._padded(part, self.marks)[0][:, :-1])
            seen = F.embedding(self._tensor(np.searchsorted(present, before)), vectors)
            place = self._tensor(np.flatnonzero(predicted))
            states.append(model.states(seen, marks).flatten(0, 1).index_select(0, place))
            targets.append(items[predicted])
        hidden, wanted = torch.cat(states), np.concatenate(targets)
        parts = [self._level(model, hidden, self._tensor(wanted), n) for n in range(self.levels)]
        if len(among) < len(present):
            vectors = vectors.index_select(0, self._tensor(np.searchsorted(present, among)))
        place = self._tensor(np.searchsorted(among, wanted))
        parts.append(entropy(model.dense(hidden), vectors, place, self._tensor(shift), self.half))
        total = sum(parts[:-1], self.dense * parts[-1])
        losses = torch.stack([part.detach() for part in parts]).double()
        return Sums(total, losses, torch.full_like(losses, len(wanted)))

    def _level(
        self, model: ItemModel, hidden: torch.Tensor, targets: torch.Tensor, level: int
    ) -> torch.Tensor:
        """Summed cross-entropy of the code of `level` among those that exist after the codes before it."""
        codes, rows = self.catalogue.codes[targets], model.rows[level]
        query = model.query(hidden, level)
        if level == 0:
            nodes = self.catalogue.nodes[0]
            rows = rows if len(nodes) == len(rows) else F.embedding(nodes[:, 1], rows)
            return entropy(query, rows, self.catalogue.path[targets, 0], half=self.half)
        prefix = torch.zeros_like(hidden)
        for above in range(level):
            prefix = prefix + F.embedding(codes[:, above], model.rows[above])
        query = query * model.gate(prefix, level)
        parents = self.catalogue.path[targets, level - 1]
        return self.catalogue.tree.losses(query, rows, level, codes[:, level], parents).sum()
