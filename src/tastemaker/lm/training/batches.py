"""Examples as flat arrays, and uniform batches split into micro-batches of similar length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tastemaker.errors import InputError
from tastemaker.lm.training.siblings import Siblings
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.schema import EXAMPLES, check
from tastemaker.stats.random import generator

# A micro-batch of ENOUGH padded tokens takes no row shorter than WASTE of its longest: one more pass costs
# less than padding.
WASTE, ENOUGH = 0.75, 512
PIECE = 100  # events whose time one more piece of a step's rows costs


@dataclass(frozen=True)
class Examples:
    """Training examples: tokens (T,) int32, target (T,) bool, offsets (N + 1,) int64, weight (N,) float32.

    `parents` (T, 2) int64: `Siblings.parents`, when siblings are known. `emphasis` (T,) float32: weight of
    each token inside its example, when they differ.
    """

    tokens: npt.NDArray[np.int32]
    target: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    parents: npt.NDArray[np.int64] | None = None
    emphasis: npt.NDArray[np.float32] | None = None

    @property
    def count(self) -> int:
        """Number of examples N."""
        return len(self.weight)

    @cached_property
    def mean_target_weight(self) -> float:
        """Sum of weights of predicted tokens over all examples, divided by N."""
        each = self.target * np.float64(1 if self.emphasis is None else self.emphasis)
        return float((np.add.reduceat(each, self.offsets[:-1]) * self.weight).sum() / self.count)

    def fingerprint(self) -> str:
        """Hash of the examples, order included."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.tokens, self.target, self.offsets, self.weight, self.emphasis):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class MicroBatch:
    """Padded input (R, C) int64 and the n tokens to predict: flat position of the one before, target, weight.

    `tokens` is the number of input tokens without the padding; `parents` (n, 2) see `Examples`.
    """

    inputs: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    tokens: int
    parents: torch.Tensor | None = None

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on `device`."""
        tensors: dict[str, Any] = {n: t for n, t in vars(self).items() if isinstance(t, torch.Tensor)}
        return replace(self, **{name: t.to(device, non_blocking=True) for name, t in tensors.items()})


def read_examples(
    table: pa.Table, vocabulary: Vocabulary, sids_only: bool, longest: int, siblings: Siblings | None = None
) -> Examples:
    """Check an EXAMPLES table and flatten it; examples without a token to predict are left out.

    sids_only: keep only Semantic-ID tokens as targets (fine-tuning).
    siblings: the tree of existing Semantic IDs, to note what each token follows.
    longest: the model's context; a longer example is refused.

    Raises InputError naming the row: token out of range, mask and tokens of different length, negative or NaN
    weight, nothing to predict.
    """
    checked = check(table, EXAMPLES, "examples").combine_chunks()
    tokens, offsets = _lists(checked, "tokens")
    mask, mask_offsets = _lists(checked, "loss_mask")
    weight = checked.column("weight").to_numpy().astype(np.float32)
    lengths = np.diff(offsets)
    _refuse(np.diff(mask_offsets) != lengths, "loss_mask has another length than tokens")
    _refuse(lengths > longest, f"has more than {longest} tokens, the model's context; shorten the history")
    _refuse(~(np.isfinite(weight) & (weight >= 0)), "has a weight that is negative or not a number")
    bad = np.flatnonzero((tokens < 0) | (tokens >= vocabulary.size))
    if len(bad):
        row = int(np.searchsorted(offsets, bad[0], side="right"))
        raise InputError(
            f"examples: row {row} has token {tokens[bad[0]]}, but the vocabulary has {vocabulary.size}"
            " tokens; rebuild them"
        )
    rows = np.repeat(np.arange(len(lengths)), lengths)
    _refuse(np.bincount(rows, mask < 0, len(lengths)) > 0, "loss_mask has a negative weight")
    target = mask > 0
    target[offsets[:-1][lengths > 0]] = False  # nothing precedes the first token
    if sids_only:
        target &= vocabulary.level_of(tokens) >= 0
    parents = siblings.parents(tokens, vocabulary) if siblings is not None else None
    emphasis = mask.astype(np.float32) if (mask > 1).any() else None
    return _with_targets(Examples(tokens, target, offsets, weight, parents, emphasis))


def _lists(table: pa.Table, name: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]].astype(np.int32)
    return values, offsets - offsets[0]


def _refuse(bad: npt.NDArray[np.bool_], reason: str) -> None:
    if bad.any():
        raise InputError(f"examples: row {int(np.argmax(bad)) + 1} {reason}")


def _with_targets(examples: Examples) -> Examples:
    counts = np.concatenate([[0], np.cumsum(examples.target)])[examples.offsets]
    keep = (np.diff(counts) > 0) & (examples.weight > 0)
    if not keep.any():
        raise InputError("examples: no token to predict in any row; check loss_mask, weight and the stage")
    if keep.all():
        return examples
    inside = np.repeat(keep, np.diff(examples.offsets))
    offsets = np.concatenate([[0], np.cumsum(np.diff(examples.offsets)[keep])]).astype(np.int64)
    parents, emphasis = (
        None if column is None else column[inside] for column in (examples.parents, examples.emphasis)
    )
    tokens, target = examples.tokens[inside], examples.target[inside]
    return Examples(tokens, target, offsets, examples.weight[keep], parents, emphasis)  # type: ignore[arg-type]


class Batches:
    """Row numbers of each step: endless permutations cut into equal batches, so step -> rows is a function.

    With `passes` the examples are so many equal parts, shuffled inside each part and never across.
    """

    def __init__(self, count: int, rows: int, seed: int, passes: int = 1) -> None:
        self.count, self.rows, self.seed, self.passes = count, min(rows, count), seed, passes
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = {old: order for old, order in self._orders.items() if old == epoch - 1}
            rng = generator(self.seed, "order of examples", epoch)
            parts = np.array_split(np.arange(self.count), self.passes)
            self._orders[epoch] = np.concatenate([rng.permutation(part) for part in parts])
        return self._orders[epoch]

    def at(self, step: int) -> npt.NDArray[np.int64]:
        """Rows (rows,) of step `step`: uniform, every example once an epoch, whatever their lengths."""
        parts, start, remaining = [], step * self.rows, self.rows
        while remaining:
            epoch, inside = divmod(start, self.count)
            part = self._order(epoch)[inside : inside + remaining]
            parts.append(part)
            start, remaining = start + len(part), remaining - len(part)
        return np.concatenate(parts)


def micro_batches(examples: Examples, rows: npt.NDArray[np.int64], limit: int) -> Iterator[MicroBatch]:
    """Split the rows of one step into padded inputs of at most `limit` tokens, similar lengths together.

    Sorting is inside the step only: its gradient is that of its uniform sample, without the padding. Inputs
    end before the last predicted token; padding is at the right, where attention never looks.
    """
    lengths = [_input_length(examples, int(row)) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        width = lengths[order[start]]
        end = start + 1
        while end < len(order) and (end - start + 1) * width <= limit:
            if lengths[order[end]] < WASTE * width and (end - start) * width >= ENOUGH:
                break
            end += 1
        group = order[start:end]
        yield _pad(examples, [int(rows[n]) for n in group], [lengths[n] for n in group], width)
        start = end


def _input_length(examples: Examples, row: int) -> int:
    """Number of input tokens that some target of the row can see: the place of its last target."""
    span = examples.target[examples.offsets[row] : examples.offsets[row + 1]]
    return len(span) - 1 - int(np.argmax(span[::-1]))


def _pad(examples: Examples, rows: list[int], lengths: list[int], width: int) -> MicroBatch:
    inputs = np.zeros((len(rows), width), dtype=np.int64)
    positions, targets, weights, parents = [], [], [], []
    for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        start = int(examples.offsets[row])
        inputs[index, :length] = examples.tokens[start : start + length]
        places = np.flatnonzero(examples.target[start : start + length + 1])
        positions.append(index * width + places - 1)
        targets.append(examples.tokens[start + places])
        emphasis = examples.emphasis
        each = np.ones(len(places), np.float32) if emphasis is None else emphasis[start + places]
        weights.append(examples.weight[row] * each)
        if examples.parents is not None:
            parents.append(examples.parents[start + places])
    return MicroBatch(
        torch.from_numpy(inputs),
        torch.from_numpy(np.concatenate(positions).astype(np.int64)),
        torch.from_numpy(np.concatenate(targets).astype(np.int64)),
        torch.from_numpy(np.concatenate(weights)),
        sum(lengths),
        torch.from_numpy(np.concatenate(parents)) if parents else None,
    )


def pieces(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where to cut rows sorted by `lengths` (R,) so that padding each piece, and each pass, costs least."""
    widths, begins = np.unique(lengths, return_index=True)
    ends = np.append(begins[1:], len(lengths))  # a piece begins and ends where the length changes
    best, first = np.zeros(len(widths) + 1), np.zeros(len(widths), np.int64)
    for last, widest in enumerate(widths):
        costs = best[: last + 1] + (ends[last] - begins[: last + 1]) * widest + PIECE
        first[last] = costs.argmin()
        best[last + 1] = costs[first[last]]
    cuts, last = list[int](), int(first[-1])
    while last:
        cuts.append(int(begins[last]))
        last = int(first[last - 1])
    return np.array(cuts[::-1], np.int64)
