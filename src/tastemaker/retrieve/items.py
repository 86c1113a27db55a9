"""Every item of the catalogue scored by the small model: exact, no search, so that nothing is overlooked.

One product with the nodes of the tree of Semantic IDs and one with the item vectors score all N items in
about the time a beam of 50 takes for a level of 8,192 codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tastemaker.errors import ModelError
from tastemaker.lm.items import Catalogue, ItemModel, Layout, Reader, mixed, residual_rows
from tastemaker.retrieve.evaluation import Sequences, last_events

ROWS = 512  # histories read at once
SCORES = 8_000_000  # scores alive at once


@dataclass(frozen=True)
class Block:
    """Histories that are read together: their `rows` (R,) among all, their layout, and the `items` and
    `marks` (E,) of their events, one history after another.
    """

    rows: torch.Tensor
    layout: Layout
    items: torch.Tensor
    marks: torch.Tensor


def read(contexts: Sequences, longest: int, device: torch.device) -> list[Block]:
    """The last `longest` events of all histories, those of like length together."""
    recent, blocks = last_events(contexts, longest), []
    lengths, marks = np.diff(recent.offsets), recent.marks
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        event_rows = np.concatenate([np.arange(*recent.offsets[row : row + 2]) for row in rows])
        block_marks = np.zeros(len(event_rows), np.int64) if marks is None else marks[event_rows]
        columns = rows, recent.items[event_rows], np.asarray(block_marks, np.int64)
        places, *events = (torch.from_numpy(column).to(device) for column in columns)
        blocks.append(Block(places, Layout(lengths[rows], device), *events))
    return blocks


class ItemScorer:
    """A `Score` of N items: the model's log-probability of each, all summing to 1, whatever may be shown.

    item_ids (N,), codes (N, L): the catalogue; items the model saw no event of have their codes alone.
    """

    @torch.no_grad()
    def __init__(
        self, model: ItemModel, item_ids: Sequence[str], codes: npt.NDArray[Any], sizes: Sequence[int]
    ) -> None:
        if tuple(sizes) != tuple(model.shape.sizes):
            raise ModelError(
                f"the model has {model.shape.sizes} codes a level, the catalogue {tuple(sizes)}; they belong"
                " to other codebooks: train again"
            )
        self.model = model
        self.catalogue = Catalogue(codes, sizes, residual_rows(model, item_ids), model.device)
        self.reader = Reader(model)
        self.nodes = model.node_vectors(self.catalogue)
        self.placed: torch.Tensor | None = None
        self.columns = model.item_vectors(self.catalogue)
        if not all(bool(part.sum().isfinite()) for part in (*self.nodes, self.columns)):
            raise ModelError("the model's rows are not numbers (NaN); it is damaged or its training diverged")

    @property
    def vectors(self) -> torch.Tensor:
        """(N, d) the item vectors."""
        return self.columns.T

    @torch.no_grad()
    def place(self, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
        """Let items (M,) have `vectors` (M, d) in histories and in the dense read-out, which then speaks for
        both: their codes were given to them after training and say little.
        """
        self.placed = torch.from_numpy(rows).to(self.model.device)
        self.columns[:, self.placed] = torch.from_numpy(vectors).to(self.columns).T

    @torch.inference_mode()
    def states(self, blocks: Sequence[Block]) -> torch.Tensor:
        """(U, d) the state after each history's last event."""
        device, width = self.model.device, self.model.shape.width
        states = torch.empty((sum(len(block.rows) for block in blocks), width), device=device)
        for block in blocks:
            vectors = self.columns.index_select(1, block.items).T
            states[block.rows] = self.reader(vectors, block.marks, block.layout)
        return states

    def reads(self, contexts: Sequences) -> list[Block]:
        """What the model reads of the histories."""
        return read(contexts, self.model.shape.max_items, self.model.device)

    @torch.inference_mode()
    def read_outs(
        self, contexts: Sequences, blocks: Sequence[Block] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, N) log-probabilities by Semantic ID and by the dense read-out; `blocks`: what `reads` gives."""
        states = self.states(self.reads(contexts) if blocks is None else blocks)
        codes = self.model.log_codes(states, self.catalogue, self.nodes)
        dense = self.model.log_dense(states, self.columns)
        if self.placed is not None:
            codes.index_copy_(1, self.placed, dense.index_select(1, self.placed))
        return codes, dense

    def log_probabilities(self, contexts: Sequences, blocks: Sequence[Block] | None = None) -> torch.Tensor:
        """(U, N) log-probability of every item after each history."""
        return mixed(*self.read_outs(contexts, blocks), self.model.share)

    def __call__(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """`log_probabilities` as an array."""
        return np.asarray(self.log_probabilities(contexts).cpu().numpy(), np.float32)


class Averaged:
    """A `Score` of N items by several models: the mean of their log-probabilities, all items summing to 1.

    strangers (N,): items that the models after the first have no Semantic ID of. The first speaks for those,
    unless they are given vectors.
    """

    def __init__(self, scorers: Sequence[ItemScorer], strangers: npt.NDArray[np.bool_]) -> None:
        self.scorers, self.strangers = list(scorers), np.flatnonzero(strangers)

    @property
    def vectors(self) -> torch.Tensor:
        """(N, d) the item vectors of all models, side by side."""
        return torch.cat([scorer.vectors for scorer in self.scorers], 1)

    def place(self, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
        """Let items have `vectors` (M, d), of all models side by side."""
        ends = np.cumsum([scorer.vectors.shape[1] for scorer in self.scorers])[:-1]
        for scorer, part in zip(self.scorers, np.split(vectors, ends, axis=1), strict=True):
            scorer.place(rows, part)
        self.strangers = np.setdiff1d(self.strangers, rows)

    @torch.inference_mode()
    def __call__(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) log-probability of every item after each history."""
        longest = {scorer.model.shape.max_items for scorer in self.scorers}
        device = self.scorers[0].model.device
        blocks = read(contexts, longest.pop(), device) if len(longest) == 1 else None  # read once for all
        first, *others = (scorer.log_probabilities(contexts, blocks) for scorer in self.scorers)
        total = torch.stack([first, *others]).mean(0)
        if len(self.strangers):
            total[:, self.strangers] = first[:, self.strangers]
        return np.asarray(total.log_softmax(1).cpu().numpy(), np.float32)
