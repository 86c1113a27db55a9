"""Whether what is learnt and what is asked carry the same labels: a data set split before it was made often
does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

LEAST_P = 0.01
DRAWS = 1999


@dataclass(frozen=True)
class Shift:
    """Shares of each label in the two parts, Pearson's chi-square of part by label, and its p-value over
    redrawn splits.
    """

    labels: tuple[str, ...]
    train: tuple[float, ...]
    test: tuple[float, ...]
    statistic: float
    p: float
    groups: int

    @property
    def ok(self) -> bool:
        """No evidence of a shift: p above .01."""
        return self.p > LEAST_P


def label_shift(
    counts: npt.ArrayLike, test: npt.ArrayLike, labels: Sequence[str], seed: int = 0, draws: int = DRAWS
) -> Shift:
    """Chi-square test of part by label, its distribution taken from redrawing which groups are asked.

    Labels of one user go together, so that the chi-square distribution, which takes them for independent,
    would find shifts where there are none (Rao & Scott 1981); redrawing whole groups, as the split did, keeps
    the level exactly.

    Parameters
    ----------
    counts
        (G, K) how often each group (user) has each label.
    test
        (G,) whether the group is asked; the others are learnt from.

    Raises
    ------
    InputError
        when one part has no label.
    """
    table, asked = np.asarray(counts, np.float64), np.asarray(test, bool)
    parts = np.stack([table[~asked].sum(axis=0), table[asked].sum(axis=0)])
    if not parts.sum(axis=1).all():
        raise InputError("the label test needs labels in both parts; generate more conversations")
    rng = generator(seed, "label shift")
    drawn = np.stack([rng.permutation(asked) for _ in range(draws)]).astype(np.float64) @ table
    total = table.sum(axis=0)
    statistic = float(_chi_square(parts[1][None], total)[0])
    extreme = int((_chi_square(drawn, total) >= statistic * (1 - 1e-12)).sum())
    shares = parts / parts.sum(axis=1, keepdims=True)
    return Shift(
        tuple(labels),
        tuple(shares[0].tolist()),
        tuple(shares[1].tolist()),
        statistic,
        (1 + extreme) / (1 + draws),
        len(table),
    )


def _chi_square(second: npt.NDArray[np.float64], total: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pearson's statistic of each 2 x K table with rows (total - second, second); labels that never occur are
    left out.
    """
    tables = np.stack([total - second, second], axis=1)
    expected = tables.sum(axis=2, keepdims=True) * total / total.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.where(expected > 0, np.square(tables - expected) / expected, 0.0).sum(axis=(1, 2))
        )
