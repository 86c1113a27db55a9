"""What followed what, as evidence beside a model: score(i | u) = log P(i | u) + w log(1 + n(u, i) / floor).

A language model generalises but forgets rare transitions that plain counts keep: the idea of the
nearest-neighbour language model (Khandelwal et al., arXiv 1911.00172), with item transitions as its datastore
and a log-linear mix, which did better on the Beauty validation part than a linear one. An item's score
depends on the history and the item alone, so filters reorder nothing.

Beside the counts, where the held-out part says so, stands how like the history an item is by its text, and,
where what people had is not removed, how often they had it themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tastemaker.errors import ArtifactError
from tastemaker.retrieve.baselines import ages, habit, summed, weights_of
from tastemaker.retrieve.candidates import Candidates
from tastemaker.retrieve.evaluation import Ints, Score, Sequences, followed
from tastemaker.stats.ranking import ndcg_at

Floats = npt.NDArray[np.float64]
GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
# What a summary calls the weight that is best where what people had is removed, and where it is kept.
WEIGHTS = {"weight": True, "weight, seen kept": False}
RATIOS = (0.0, 1.0, 2.0, 4.0)  # what a likeness of 1 may count for, beside the evidence of counts
HABITS = (0.0, 0.5, 1.0, 2.0, 4.0)  # what the evidence of a person's own events may count for, beside that
RETURNING = 0.01  # the share of people from which habit is tried
LIKE_DECAY = 0.8  # what an event of the history counts for that, for each later one
FLOOR = 0.05  # a transition counted once, just now, is 1: the floor says how much less never is


@dataclass(frozen=True, eq=False)
class Memory:
    """Transitions of the training part: `table` (N, N) sparse, row a: how strongly each item followed item a.

    `decay`: what an item of the history weighs, per event of age. The latest event weighs 1. `texts` (d, N):
    unit vectors of the items' texts, or zeros, in columns; `ratio`: what a likeness of 1 by them counts for;
    `habit`: what the evidence of the person's own events counts for.
    """

    table: Any
    decay: float
    texts: npt.NDArray[np.float32] | None = None
    ratio: float = 0.0
    habit: float = 0.0

    def with_texts(self, vectors: npt.NDArray[np.float32] | None, ratio: float) -> Memory:
        """The same with likeness by text `vectors` (N, d), of any length, NaN where an item has none."""
        if vectors is None:
            return self
        known = np.nan_to_num(np.asarray(vectors, np.float32))
        unit = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
        return replace(self, texts=np.ascontiguousarray(unit.T), ratio=ratio)

    def likeness(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) likeness of every item to each history by text, from -1 to 1; zeros without texts."""
        if self.texts is None:
            return np.zeros((len(contexts.offsets) - 1, self.table.shape[0]), np.float32)
        import torch  # what only counts does without

        weights = weights_of(contexts, LIKE_DECAY)
        parts = [slice(*ends) for ends in pairwise(contexts.offsets.tolist())]
        means = np.stack([self.texts[:, contexts.items[part]] @ weights[part] for part in parts])
        # torch's product of few rows takes a third of the time of numpy's.
        return (torch.from_numpy(means) @ torch.from_numpy(self.texts)).numpy()

    def evidence(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) what counts, habit and likeness together add to a log-probability for a weight of 1."""
        added = self.counted(contexts)
        return added + np.float32(self.ratio) * self.likeness(contexts) if self.ratio else added

    def counted(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) the same of counts and habit alone."""
        added = evidence(self.score(contexts))
        return added + np.float32(self.habit) * self.habits(contexts) if self.habit else added

    def habits(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) the evidence of what each person had."""
        return evidence(habit(contexts, self.table.shape[0]))

    def score(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) float32 n(u, i) of every item after each context: the memory as a recommender of its own."""
        return summed(contexts, self.decay ** ages(contexts).astype(np.float64), self.table)

    def added_to(self, score: Score, weight: float) -> Score:
        """Another recommender's logits with the same evidence of counts added, as a control."""
        return lambda contexts: np.asarray(score(contexts) + weight * self.counted(contexts), np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays to store."""
        table = self.table
        return {
            "indptr": table.indptr.astype(np.int64),
            "indices": table.indices.astype(np.int32),
            "data": table.data,
        }

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], decay: float, n_items: int) -> Memory:
        """What `arrays` came from; ArtifactError when they are not of `n_items` items."""
        if len(arrays["indptr"]) != n_items + 1:
            raise ArtifactError(
                f"memory: made for {len(arrays['indptr']) - 1} items, the catalogue has {n_items}; train"
                " again"
            )
        table = sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=(n_items, n_items)
        )
        return cls(table, decay)


def fit_memory(train: Sequences, n_items: int, window: int = 10, decay: float = 0.6) -> Memory:
    """Count, for every training event, the up to `window` events after it, each by 1 / distance.

    Only forward in time: on the Beauty data, counting backwards too cost validation recall.
    """
    rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for step, before, after in followed(train, window):
        rows.append(before)
        columns.append(after)
        values.append(np.full(len(before), 1 / step, np.float32))
    cells = (np.concatenate(rows), np.concatenate(columns))
    table = sparse.coo_array((np.concatenate(values), cells), shape=(n_items, n_items)).tocsr()
    table.sort_indices()
    return Memory(table, decay)


def evidence(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What counts of any shape add to a log-probability for a weight of 1."""
    return np.asarray(np.log1p(counts / FLOOR), counts.dtype)


def weighed(candidates: Candidates, counts: Floats, weight: float) -> Candidates:
    """`candidates` (scores are log-probabilities) with the evidence of `counts` (n,) added, best first."""
    return candidates.by(candidates.scores + weight * evidence(counts))


class Weighing(NamedTuple):
    """What the memory weighs and, within it, likeness by text and habit."""

    weight: float
    likeness: float = 0.0
    habit: float = 0.0

    def __str__(self) -> str:
        return f"{self.weight:g}, likeness {self.likeness:g}, habit {self.habit:g}"


def habits_for(share: float, removed: bool) -> tuple[float, ...]:
    """The habits to try where a `share` of people took something again; none where `removed` or rare."""
    return HABITS if share >= RETURNING and not removed else HABITS[:1]


def weighing_in(about: Mapping[str, Any], remove_seen: bool) -> Weighing:
    """What a summary has for the rule of what is shown; older ones have one weight for both, and no habit."""
    (name,) = (name for name, removed in WEIGHTS.items() if removed == remove_seen)
    extras = (float(about.get(f"{name}: {what}", 0.0)) for what in Weighing._fields[1:])
    return Weighing(float(about.get(name, about["weight"])), *extras)


def choose_weight(ranks: Ints, grid: Sequence[Any] = GRID) -> tuple[Any, dict[Any, float]]:
    """The weight of best N@10 for target `ranks` (W, T), the smallest of equals; and N@10 by weight."""
    ndcg = {weight: float(ndcg_at(row, 10).mean()) for weight, row in zip(grid, ranks, strict=True)}
    first = {weight: -place for place, weight in enumerate(grid)}
    return max(ndcg, key=lambda weight: (ndcg[weight], first[weight])), ndcg
