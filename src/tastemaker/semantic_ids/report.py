"""Are these Semantic IDs any good? Counts only: choose tokenizers by downstream recall, not by these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.semantic_ids.collisions import check_codes, groups
from tastemaker.semantic_ids.sizes import check_sizes


@dataclass(frozen=True)
class SidReport:
    """Counts over a catalogue of N items and L levels.

    distinct_share: distinct Semantic IDs / N; alone_share: share of items that share theirs with nobody; use:
    share of each level's codes that occur at inference; entropy: bits of each level's code distribution;
    prefixes: distinct prefixes of each length; purity: per prefix length, the mean over items of the share of
    their attribute held by same-prefix items' most common value (None without attributes); group_sizes:
    {items in a group: how many groups}; largest_group;
    first_agreement: share of items whose first code is the same without a view (None when not asked).
    """

    items: int
    sizes: tuple[int, ...]
    distinct_share: float
    alone_share: float
    use: tuple[float, ...]
    entropy: tuple[float, ...]
    prefixes: tuple[int, ...]
    purity: tuple[float, ...] | None
    group_sizes: dict[int, int]
    largest_group: int
    first_agreement: float | None


def sid_report(
    codes: npt.NDArray[Any],
    sizes: Sequence[int],
    attributes: Sequence[str | None] | None = None,
    without_view: npt.NDArray[Any] | None = None,
) -> SidReport:
    """Describe (N, L) codes as encoded at inference (not as in training, which can be far better spread).

    attributes: one label an item (None = unknown, left out) for prefix purity; without_view: codes of the
    same items encoded without one view, to see how many keep their first code. InputError for codes out of
    range or lengths that differ.
    """
    sizes = check_sizes(sizes)
    codes = check_codes(codes, sizes)
    counts = np.diff(groups(codes).starts)
    group_sizes, frequencies = np.unique(counts, return_counts=True)
    spread = [np.bincount(codes[:, level], minlength=k) for level, k in enumerate(sizes)]
    return SidReport(
        items=len(codes),
        sizes=sizes,
        distinct_share=len(counts) / len(codes),
        alone_share=float((counts == 1).sum() / len(codes)),
        use=tuple(float((histogram > 0).mean()) for histogram in spread),
        entropy=tuple(_entropy(histogram) for histogram in spread),
        prefixes=tuple(len(groups(codes[:, :length]).codes) for length in range(1, len(sizes) + 1)),
        purity=None if attributes is None else _purity(codes, attributes),
        group_sizes={int(a): int(b) for a, b in zip(group_sizes, frequencies, strict=True)},
        largest_group=int(counts.max()),
        first_agreement=None if without_view is None else float((codes[:, 0] == without_view[:, 0]).mean()),
    )


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0  # + 0.0 turns -0.0 into 0.0


def _purity(codes: npt.NDArray[np.int32], attributes: Sequence[str | None]) -> tuple[float, ...]:
    known = np.array([label is not None for label in attributes])
    if not known.any():
        return tuple(0.0 for _ in range(codes.shape[1]))
    _, label = np.unique([str(label) for label in attributes if label is not None], return_inverse=True)
    out = []
    for length in range(1, codes.shape[1] + 1):
        prefixes = groups(codes[known][:, :length])
        agree = [
            int(np.bincount(label[prefixes.items[a:b]]).max())
            for a, b in zip(prefixes.starts[:-1], prefixes.starts[1:], strict=True)
        ]
        out.append(sum(agree) / int(known.sum()))
    return tuple(out)
