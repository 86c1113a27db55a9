"""Whether groups of people answer a battery alike: the same factors, loadings and intercepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, ModelError, in_file, many
from tastemaker.retention.validity.factor.cfa import (
    CUTOFFS,
    Fit,
    Moments,
    checked_covariance,
    correlations,
    fit_of,
    minimise,
    owners,
    start_values,
)

Level = Literal["configural", "metric", "scalar"]
LEVELS: tuple[Level, ...] = ("configural", "metric", "scalar")


@dataclass(frozen=True)
class Invariance:
    """A level of equality across groups, its fit, the CFI lost by it, whether that is at most .01."""

    level: Level
    fit: Fit
    cfi_drop: float
    holds: bool


def invariance(
    groups: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike, int]], blocks: Mapping[str, Sequence[int]]
) -> list[Invariance]:
    """Do groups of people answer a battery alike? Configural (same factors), metric (same loadings), scalar
    (same intercepts).

    groups: name -> covariance (p, p) with divisor n, means (p,), n; at least two. Comparing loadings needs
    metric, comparing means needs scalar invariance; a level holds when its CFI is at most .01 below the one
    before (and that one holds).

    Raises InputError as `fit_cfa`, or with fewer than two groups. Source: Cheung and Rensvold, Structural Eq.
    Modeling 2002.
    """
    if len(groups) < 2:
        raise InputError(f"invariance compares groups; got {', '.join(groups) or 'none'}, give at least two")
    parts = []
    for name, (s, m, n) in groups.items():
        with in_file(name):
            parts.append((checked_covariance(s, n), np.asarray(m, dtype=np.float64), n))
    if len({(s.shape, m.shape) for s, m, _ in parts}) > 1 or parts[0][1].shape != (len(parts[0][0]),):
        raise InputError("every group needs the covariance and the means of the same items")
    seen = Moments(
        np.array([s for s, _, _ in parts]),
        np.array([m for _, m, _ in parts]),
        np.array([float(n) for *_, n in parts]),
    )
    owner = owners(blocks, seen.mean.shape[1])
    if (np.bincount(owner) < 2).any():
        raise InputError("invariance needs at least two items a factor")
    results: list[Invariance] = []
    for level in LEVELS:
        shape = _Layout(level, len(seen.n), owner)
        try:
            theta, _ = minimise(shape.model, shape.start(seen), seen)
        except ModelError as error:
            raise ModelError(f"{error}; {_least_alike(list(groups), seen, owner)}") from None
        fit = fit_of(shape.model(theta), seen, len(theta), means=True)
        drop = results[-1].fit.cfi - fit.cfi if results else 0.0
        holds = (
            drop <= CUTOFFS["cfi_drop"] and all(item.holds for item in results) if results else fit.cfi >= 0.9
        )
        results.append(Invariance(level, fit, drop, bool(holds)))
    return results


def _least_alike(names: Sequence[str], seen: Moments, owner: Ints) -> str:
    """In words, the item and group in which the others of its factor tell least, for its number of people."""
    sd = np.sqrt(np.einsum("gii->gi", seen.covariance))
    r = np.abs(seen.covariance / (sd[:, :, None] * sd[:, None, :]))
    together = (owner[:, None] == owner) & ~np.eye(len(owner), dtype=bool)
    most = np.where(together, r, 0.0).max(axis=2)
    group, item = divmod(int(np.argmin(most * np.sqrt(seen.n)[:, None])), len(owner))
    return (
        f"in {names[group]} ({many(int(seen.n[group]), 'person', 'people')}) item {item} correlates with no"
        f" other of its block by more than {most[group, item]:.2f}; merge the group with another,"
        " or leave that item out"
    )


class _Layout:
    """Where the parameters of a multi-group model lie. Factor variances are 1 and means 0 in the first group;
    in the others they are free as soon as loadings (metric) and intercepts (scalar) are held equal.
    """

    def __init__(self, level: Level, groups: int, owner: Ints) -> None:
        g, p, q = groups, len(owner), int(owner.max()) + 1
        self.groups, self.owner, self.p, self.q = g, owner, p, q
        self.metric, self.scalar = level != "configural", level == "scalar"
        sizes = [p if self.metric else g * p, g * p, g * (q * (q - 1) // 2), p if self.scalar else g * p]
        sizes += [(g - 1) * q * self.metric, (g - 1) * q * self.scalar]
        self.ends = np.cumsum(sizes)[:-1]

    def start(self, seen: Moments) -> Floats:
        """Starting values (k,): those of each group, averaged where groups share them."""
        p, rest = self.p, (self.groups - 1) * self.q
        each = np.array([start_values(s, self.owner) for s in seen.covariance])
        loads, means = each[:, :p], seen.mean
        parts = [
            loads.mean(axis=0) if self.metric else loads.ravel(),
            each[:, p : 2 * p].ravel(),
            each[:, 2 * p :].ravel(),
        ]
        parts.append(means.mean(axis=0) if self.scalar else means.ravel())
        return np.concatenate([*parts, np.ones(rest * self.metric), np.zeros(rest * self.scalar)])

    def model(self, theta: Floats) -> tuple[Floats, Floats]:
        """Covariances (..., G, p, p) and means (..., G, p) of parameters (..., k)."""
        g, p, q, lead = self.groups, self.p, self.q, theta.shape[:-1]
        loads, rests, below, intercepts, variances, means = np.split(theta, self.ends, axis=-1)
        load = np.zeros((*lead, g, p, q))
        load[..., range(p), self.owner] = loads.reshape(*lead, -1, p)
        phi = correlations(below.reshape(*lead, g, -1), q)
        if self.metric:
            phi[..., 1:, range(q), range(q)] = variances.reshape(*lead, g - 1, q)
        mean = np.zeros((*lead, g, q))
        if self.scalar:
            mean[..., 1:, :] = means.reshape(*lead, g - 1, q)
        sigma = load @ phi @ load.swapaxes(-1, -2) + rests.reshape(*lead, g, p)[..., None] * np.eye(p)
        return sigma, intercepts.reshape(*lead, -1, p) + (load @ mean[..., None])[..., 0]
