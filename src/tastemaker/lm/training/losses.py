"""The two losses: full vocabulary in continued pre-training, the level's own rows in fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from tastemaker.errors import ModelError
from tastemaker.lm.training.batches import Examples, MicroBatch, micro_batches
from tastemaker.lm.training.settings import Settings
from tastemaker.lm.training.siblings import Siblings, leaf_vectors
from tastemaker.lm.vocabulary import Vocabulary

Rows = npt.NDArray[np.int64]
CACHED = 256  # rows of logits that a processor's cache holds
STEP = 64  # rows of a product in bfloat16 are so many or a multiple: each shape costs time and memory once
CHUNK_LOGITS = 32_000_000  # floats of logits alive at once: 128 MB


@dataclass(frozen=True)
class Sums:
    """Sums over predicted tokens: weighted loss (a scalar with gradient), and loss and weight per level.

    `levels` and `counts` are (L + 1,): one place a level, the last for tokens that are no Semantic ID.
    """

    loss: torch.Tensor
    levels: torch.Tensor
    counts: torch.Tensor


def head_weight(model: Any) -> torch.Tensor:
    """Output matrix (V, d) of a causal LM whose logits are plain products with it.

    Raises ModelError for families that scale or soft-cap logits or add a bias: no slice is their head.
    """
    head = model.get_output_embeddings()
    config = model.config
    scale = [getattr(config, name, None) for name in ("logit_scale", "logits_scaling")]
    if (
        head is None
        or getattr(head, "bias", None) is not None
        or any(value not in (None, 1, 1.0) for value in scale)
    ):
        raise ModelError(
            f"{config.model_type}: its output head is no plain matrix, which sliced heads need; use another"
            " base"
        )
    if getattr(config, "final_logit_softcapping", None):
        raise ModelError(
            f"{config.model_type}: it soft-caps its logits, which sliced heads cannot reproduce; use another"
            " base"
        )
    weight: torch.Tensor = head.weight
    return weight


def batch_loss(
    model: Any,
    vocabulary: Vocabulary,
    batch: MicroBatch,
    settings: Settings,
    siblings: Siblings | None = None,
) -> Sums:
    """Weighted cross-entropy of one micro-batch.

    `cpt` normalises over the whole vocabulary; `sft` over the K_l rows of the target's level, or with
    `siblings` over
    those of them that exist after the prefix: exactly what beam search scores with. Hidden states are
    gathered first, so the head is computed only where a token is predicted. With `siblings` and
    `settings.dense`, the state before an item also tells it apart from all others by the sums of their code
    rows, as in LIGER, arXiv 2411.18814; that loss is reported in the last place.
    """
    hidden = model.base_model(input_ids=batch.inputs, use_cache=False).last_hidden_state
    hidden = hidden.reshape(-1, hidden.shape[-1]).index_select(0, batch.positions)
    weight = head_weight(model)
    starts = torch.tensor(vocabulary.sid_starts, device=batch.targets.device)
    levels = torch.bucketize(batch.targets, starts, right=True) - 1  # -1 and L are no level: both the last
    levels = levels.remainder(vocabulary.levels + 1)
    begin, *_, end = vocabulary.sid_starts
    heads = torch.split(weight[begin:end], [*vocabulary.sizes])
    if settings.stage == "cpt":
        order = torch.arange(len(levels), device=levels.device)
        parts = _cross_entropy(hidden, weight, batch.targets)
    else:
        order, parts = _by_level(hidden, heads, vocabulary, batch, levels, siblings)
    weighted = parts * batch.weights[order]
    zeros, where = weighted.new_zeros(vocabulary.levels + 1, dtype=torch.float64), levels[order]
    totals = zeros.index_add(0, where, weighted.detach().double())
    counts = zeros.index_add(0, where, batch.weights[order].double())
    loss = weighted.sum()
    if siblings is not None and settings.dense:
        assert batch.parents is not None
        begun = torch.nonzero(levels == 0).squeeze(1)
        logits = at_least_float32(hidden[begun] @ leaf_vectors(siblings.leaf_codes, heads).T)
        dense = F.cross_entropy(logits, batch.parents[begun, 1], reduction="none") * batch.weights[begun]
        loss = loss + settings.dense * dense.sum()
        totals[-1], counts[-1] = dense.detach().double().sum(), batch.weights[begun].double().sum()
    return Sums(loss, totals, counts)


@dataclass(frozen=True, eq=False)
class TokenTask:
    """Token sequences as what a run learns from; `old_rows`: tokens that were there before extension."""

    vocabulary: Vocabulary
    data: Examples
    settings: Settings
    siblings: Siblings | None = None

    @property
    def count(self) -> int:
        """Number of examples."""
        return self.data.count

    @property
    def levels(self) -> int:
        """Levels of a Semantic ID."""
        return self.vocabulary.levels

    @property
    def old_rows(self) -> int:
        """Rows that phase 0 leaves as they are."""
        return self.vocabulary.base_size

    @property
    def expected(self) -> float:
        """Mean weight of an example's predicted tokens."""
        return self.data.mean_target_weight

    def identity(self) -> dict[str, str]:
        """Hashes of everything that a checkpoint must agree with."""
        return {
            "examples": self.data.fingerprint(),
            "vocabulary": self.vocabulary.fingerprint(),
            "siblings": self.siblings.fingerprint() if self.siblings is not None else "none",
        }

    def sums(self, model: Any, rows: Rows, step: int, batch: Rows) -> Iterator[tuple[Sums, int]]:
        """Losses of `rows`, a micro-batch at a time."""
        device, settings = next(model.parameters()).device, self.settings
        for micro_batch in micro_batches(self.data, rows, settings.micro_tokens):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.dtype == "bfloat16"):
                sums = batch_loss(
                    model,
                    self.vocabulary,
                    micro_batch.to(device),
                    settings,
                    self.siblings,
                )
            yield sums, micro_batch.tokens


def _by_level(
    hidden: torch.Tensor,
    heads: Sequence[torch.Tensor],
    vocabulary: Vocabulary,
    batch: MicroBatch,
    levels: torch.Tensor,
    siblings: Siblings | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(positions, losses) with the targets grouped by level; each group meets its own slice of the head."""
    places, losses = [], []
    for level, head in enumerate(heads):
        place = torch.nonzero(levels == level).squeeze(1)
        if len(place):
            places.append(place)
            states, codes = hidden.index_select(0, place), batch.targets[place] - vocabulary.sid_starts[level]
            if siblings is None:
                losses.append(_cross_entropy(states, head, codes))
            else:
                assert batch.parents is not None
                above = batch.parents[place, 0]
                losses.append(siblings.losses(states, head, level, codes, above))
    return torch.cat(places), torch.cat(losses)


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """Logits of a bfloat16 model as float32; others as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _into(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The product, in a place that is there already."""
    return torch.mm(left, right, out=out) if left.dtype == out.dtype else out.copy_(left @ right)


class _Entropy(torch.autograd.Function):
    """Both gradients are made with the loss, while logits are in the cache: two thirds of the time."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor, shift: Any, half: bool
    ) -> torch.Tensor:
        """See `entropy`."""
        dtype = torch.bfloat16 if half else query.dtype
        count = len(query)
        size = CACHED if query.device.type == "cpu" else max(1, count)
        left, right = query.detach().to(dtype), rows.detach().to(dtype)
        if half:
            shift = torch.zeros(len(rows), device=query.device) if shift is None else shift
            left, right = (F.pad(matrix, (0, 0, 0, -len(matrix) % STEP)) for matrix in (left, right))
            targets = F.pad(targets, (0, len(left) - count))
            shift = F.pad(shift, (0, len(right) - len(rows)), value=-torch.inf)
        loss = torch.zeros((), device=query.device)
        by_query, by_rows = (torch.zeros_like(matrix, dtype=query.dtype) for matrix in (left, right))
        room = torch.empty((min(size, len(left)), len(right)), device=query.device)
        for start in range(0, len(left), size):
            part = slice(start, start + size)
            logits = _into(room[: len(left[part])], left[part], right.T)
            if shift is not None:
                logits.add_(shift)
            target_logits = logits.gather(1, targets[part, None])
            peak = logits.amax(1, keepdim=True)
            mass = logits.sub_(peak).exp_().sum(1, keepdim=True)
            loss += (mass.log() + peak - target_logits)[: max(0, count - start)].sum()
            shares = logits.to(dtype)
            _into(by_query[part], shares, right).div_(mass)
            weighed = (left[part] / mass).to(dtype)
            if half:
                by_rows += shares.T @ weighed
            else:
                by_rows.addmm_(shares.T, weighed)
        by_query, by_rows, targets = by_query[:count], by_rows[: len(rows)], targets[:count]
        by_query -= rows.index_select(0, targets)
        by_rows.index_add_(0, targets, query, alpha=-1)
        ctx.save_for_backward(by_query, by_rows)
        return loss

    @staticmethod
    def backward(ctx: Any, *weights: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the queries and of the rows."""
        by_query, by_rows = ctx.saved_tensors
        return by_query * weights[0], by_rows * weights[0], None, None, None


def entropy(
    query: torch.Tensor,
    rows: torch.Tensor,
    targets: torch.Tensor,
    shift: torch.Tensor | None = None,
    half: bool = False,
) -> torch.Tensor:
    """Summed cross-entropy of softmax(query rows' + shift); (n, d), (m, d), (n,), (m,). half: bfloat16."""
    loss: torch.Tensor = _Entropy.apply(query, rows, targets, shift, half)  # type: ignore[no-untyped-call]
    return loss


def _cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (n,) of softmax(hidden W'); large logits are made twice in pieces, not kept."""

    def piece(states: torch.Tensor, codes: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        logits = at_least_float32(F.linear(states, matrix))
        return F.cross_entropy(logits, codes, reduction="none")

    rows = max(1, CHUNK_LOGITS // weight.shape[0])
    if len(hidden) <= rows:
        return piece(hidden, targets, weight)
    pieces = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat([checkpoint(piece, *pair, weight, use_reentrant=False) for pair in pieces])
