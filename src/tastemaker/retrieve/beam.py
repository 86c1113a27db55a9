"""Beam search over the trie: every beam is a prefix of a Semantic ID that leads to an allowed item.

A step scores the children of all live beams of all requests at once, ragged, as tensors. A child's score is
its parent's plus the log-probability of its code among **all** codes of the level: nothing is renormalised
over the allowed children, so a filter removes items and never reorders the others (the trie and the step are
ours; for the unconstrained search it replaces see PLUM, arXiv 2510.07784, and STATIC, arXiv 2602.22647).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from tastemaker.errors import InputError, ModelError
from tastemaker.retrieve.allow import Allowed, Mask
from tastemaker.retrieve.trie import Trie

Advance = Callable[[int, Tensor, Tensor], Tensor]
EXACT_WITHIN = 4


@dataclass(frozen=True, eq=False)
class Beams:
    """What a search found: request r has `counts[r]` beams, best first; after them leaf -1 and score -inf.

    leaf: (R, B) int64 leaf of the trie.
    score: (R, B) float32 log-probability of its Semantic ID.
    counts: (R,) int64 beams found.
    exact: (R,) bool, True where the beam was wide enough to hold every allowed Semantic ID.
    """

    leaf: Tensor
    score: Tensor
    counts: Tensor
    exact: Tensor


_TENSORS: WeakKeyDictionary[Trie | Mask, dict[torch.device, list[tuple[Tensor, ...]]]] = WeakKeyDictionary()


def _moved(owner: Trie | Mask, *arrays: tuple[Any, ...], device: torch.device) -> list[tuple[Tensor, ...]]:
    """The arrays of each level of `owner` on `device` (shared memory on the CPU), moved once."""
    by_device = _TENSORS.setdefault(owner, {})
    if device not in by_device:
        by_device[device] = [
            tuple(torch.from_numpy(part).to(device) for part in level) for level in zip(*arrays, strict=True)
        ]
    return by_device[device]


class _Filter:
    """The allowed sets of R requests as one test of (row, node) pairs at each level."""

    def __init__(self, trie: Trie, allowed: Sequence[Allowed], device: torch.device) -> None:
        listed = [filter_.included is not None for filter_ in allowed]
        self.any_listed, self.listed = any(listed), torch.tensor(listed, device=device)
        self.spans = [len(tokens) for tokens in trie.tokens]
        self.keys = []
        for level, span in enumerate(self.spans):
            keys = np.concatenate([row * span + filter_.nodes[level] for row, filter_ in enumerate(allowed)])
            self.keys.append(torch.from_numpy(keys).to(device))
        masked = [filter_.base if filter_.included is None else None for filter_ in allowed]
        # One mask for all rows is the common case: it needs no test of whose it is.
        self.bases = [
            (
                _moved(base, base.alive, device=device),
                None if all(shared) else torch.tensor(shared, device=device),
            )
            for base in dict.fromkeys(masked)
            if base is not None and (shared := [mask is base for mask in masked])
        ]

    def alive(self, level: int, row: Tensor, node: Tensor) -> Tensor | None:
        """Whether row `row[i]` allows an item below `node[i]` of `level`, both (n,); None when all do."""
        alive = None
        for live, of in self.bases:
            here = live[level][0][node] if of is None else live[level][0][node] | ~of[row]
            alive = here if alive is None else alive & here
        keys = self.keys[level]
        if not len(keys) and not self.any_listed:
            return alive
        wanted = row * self.spans[level] + node
        hits = torch.zeros_like(wanted, dtype=torch.bool)
        if len(keys):
            hits = keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted
        # For a row that names the items it wants the keys are its live nodes, for any other its dead ones.
        allowed = hits == self.listed[row]
        return allowed if alive is None else allowed & alive


@torch.inference_mode()
def beam_search(
    hidden: Tensor,
    advance: Advance,
    heads: Sequence[Tensor],
    trie: Trie,
    allowed: Sequence[Allowed],
    beam: int,
    normalise: str | Tensor = "level",
) -> Beams:
    """The `beam` best allowed Semantic IDs of each request; exact when at most 4 x `beam` are allowed.

    hidden: (R, d) state after each request's last token.
    advance: `advance(level, codes (R, B), parents (R, B)) -> (R, B, d)`, states after code `codes[r, b]` of
        `level`, which follows beam `parents[r, b]` of the step before. Slots past a request's own beams hold
        some code after its first beam; their states are not read.
    heads: per level (K_l, d) output rows of its codes.
    allowed: R sets, each of this trie; they may differ.
    normalise: "level" = softmax over the level's K_l codes; "siblings" = over those of them that some item
        has after the prefix, so that all items' probabilities sum to 1; a matrix (V, d) = over all those
        output rows, as a language model's own `generate` does. All three are the catalogue's: what a request
        allows plays no part.

    Equal scores are ordered by trie order, on every device. A request whose set is empty gets no beam.

    Raises InputError for heads that do not fit the trie (the wrong codebook); ModelError when the model's
    outputs are not numbers.
    """
    sizes = tuple(len(head) for head in heads)
    if sizes != trie.sizes:
        raise InputError(
            f"the model has {sizes} codes a level, trie {trie.fingerprint} has {trie.sizes}; they belong to"
            " other codebooks"
        )
    device, rows = hidden.device, len(allowed)
    leaves = torch.tensor([filter_.leaves for filter_ in allowed], device=device)
    widths = torch.where(leaves <= EXACT_WITHIN * beam, leaves, beam)
    test = _Filter(trie, allowed, device)
    nodes = torch.zeros((rows, 1), dtype=torch.int64, device=device)
    live, scores = (leaves > 0)[:, None], torch.zeros((rows, 1), device=device)
    states = hidden[:, None, :]
    for level, (tokens, starts) in enumerate(_moved(trie, trie.tokens, trie.starts, device=device)):
        logits = (states @ heads[level].T).float().view(-1, len(heads[level]))
        owner, edge = _children(nodes, live, starts)
        if isinstance(normalise, Tensor):
            mass = (states @ normalise.T).float().flatten(0, 1).logsumexp(-1)
        elif normalise == "siblings":
            mass = _segment_logsumexp(logits[owner, tokens[edge].long()], owner, len(logits))
        else:
            mass = logits.logsumexp(-1)
        if mass.isnan().any():
            raise ModelError(
                "the model's outputs are not numbers (NaN); its weights are damaged or its training diverged"
            )
        alive = test.alive(level, owner // nodes.shape[1], edge)
        owner, edge = (owner, edge) if alive is None else (owner[alive], edge[alive])
        reached = scores.view(-1)[owner] + logits[owner, tokens[edge].long()] - mass[owner]
        nodes, scores, live, parents = _select(owner, edge, reached, nodes.shape, widths)
        if level + 1 < trie.levels and nodes.shape[1]:
            states = advance(level, tokens[nodes].long(), parents)
        elif not nodes.shape[1]:
            break
    # Empty slots stand last, so the stable sort leaves them behind even beams of score -inf.
    order = scores.masked_fill(~live, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    leaf = nodes.masked_fill(~live, -1).gather(1, order)
    return Beams(
        leaf,
        scores.masked_fill(~live, -torch.inf).gather(1, order),
        live.sum(1),
        leaves <= EXACT_WITHIN * beam,
    )


def _segment_logsumexp(values: Tensor, owner: Tensor, n: int) -> Tensor:
    """(n,) logsumexp of the values (T,) of each owner; -inf for an owner without any."""
    top = (
        values.new_full((n,), -torch.inf)
        .scatter_reduce(0, owner, values, "amax")
        .clamp(min=torch.finfo(values.dtype).min)
    )
    return top + torch.zeros_like(top).index_add(0, owner, (values - top[owner]).exp()).log()


def _children(nodes: Tensor, live: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """All children of live beams: (T,) the beam's flat number, (T,) the edge, in that order."""
    begin = starts[nodes.view(-1)].long()
    widths = torch.where(live.view(-1), starts[nodes.view(-1) + 1] - begin, 0)
    owner = torch.repeat_interleave(widths)
    before = widths.cumsum(0) - widths
    edge = torch.arange(len(owner), device=nodes.device) + (begin - before)[owner]
    return owner, edge


def _select(
    owner: Tensor, edge: Tensor, reached: Tensor, shape: torch.Size, widths: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each row's best `widths[r]` children by (score, edge), kept in edge order: nodes, scores, live,
    parents, all (R, B').

    Beams stand in edge order, so children do too, and "ties go to the first edge" is "keep the first of the
    tied": no step relies on the order `topk` leaves equal scores in.
    """
    rows, beams = shape
    row = owner // max(beams, 1)
    counts = torch.bincount(row, minlength=rows)
    column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    most = int(counts.max())
    table = reached.new_full((rows, most), -torch.inf)
    table[row, column] = reached
    sizes = torch.minimum(widths, counts)
    widest = int(sizes.max())
    if not widest:
        empty = owner.new_zeros((rows, 0))
        return empty, reached.new_zeros((rows, 0)), empty.bool(), empty
    worst = table.topk(widest, dim=1).values.gather(1, (sizes[:, None] - 1).clamp(min=0))
    present = torch.arange(most, device=row.device) < counts[:, None]
    above, tied = table > worst, (table == worst) & present
    chosen = (above | (tied & (tied.cumsum(1) <= (sizes - above.sum(1))[:, None])))[row, column]
    row, edge, reached, parent = row[chosen], edge[chosen], reached[chosen], owner[chosen] % beams
    slot = torch.arange(len(row), device=row.device) - (sizes.cumsum(0) - sizes)[row]
    live = torch.arange(widest, device=row.device) < sizes[:, None]
    nodes, parents = edge.new_zeros((rows, widest)), edge.new_zeros((rows, widest))
    scores = reached.new_zeros((rows, widest))
    nodes[row, slot], parents[row, slot], scores[row, slot] = edge, parent, reached
    return nodes, scores, live, parents
