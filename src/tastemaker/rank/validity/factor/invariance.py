"""Whether groups of people answer a battery alike: the same factors, the same loadings, the same intercepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.rank.validity.factor.cfa import CUTOFFS, checked_covariance, owners, start_values
from tastemaker.rank.validity.factor.fit import Fit, Floats, Moments, fit_of, minimise

Level = Literal["configural", "metric", "scalar"]
LEVELS: tuple[Level, ...] = ("configural", "metric", "scalar")


@dataclass(frozen=True)
class Invariance:
    """A level of equality across groups, its fit, the CFI lost against the level before, and whether that is at most .01."""

    level: Level
    fit: Fit
    cfi_drop: float
    holds: bool


def invariance(
    groups: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike, int]], blocks: Mapping[str, Sequence[int]]
) -> list[Invariance]:
    """Do groups of people answer a battery alike? Configural (same factors), metric (same loadings), scalar (same intercepts).

    groups: name -> covariance (p, p) with divisor n, means (p,), n; at least two. Comparing loadings needs metric, comparing
    means needs scalar invariance; a level holds when its CFI is at most .01 below the one before (and that one holds).

    Raises InputError as `fit_cfa`, or with fewer than two groups. Source: Cheung and Rensvold, Structural Eq. Modeling 2002.
    """
    if len(groups) < 2:
        raise InputError(f"invariance compares groups; got {', '.join(groups) or 'none'}, give at least two")
    parts = [(checked_covariance(s, n), np.asarray(m, dtype=np.float64), n) for s, m, n in groups.values()]
    if len({(s.shape, m.shape) for s, m, _ in parts}) > 1 or parts[0][1].shape != (len(parts[0][0]),):
        raise InputError("every group needs the covariance and the means of the same items")
    seen = Moments(
        np.array([s for s, _, _ in parts]), np.array([m for _, m, _ in parts]), np.array([float(n) for *_, n in parts])
    )
    owner = owners(blocks, seen.mean.shape[1])
    if (np.bincount(owner) < 2).any():
        raise InputError("invariance needs at least two items a factor")
    found: list[Invariance] = []
    for level in LEVELS:
        shape = _Layout(level, len(seen.n), owner)
        theta, _ = minimise(shape.model, shape.start(seen), seen)
        fit = fit_of(shape.model(theta), seen, len(theta), means=True)
        drop = found[-1].fit.cfi - fit.cfi if found else 0.0
        holds = drop <= CUTOFFS["cfi_drop"] and all(one.holds for one in found) if found else fit.cfi >= 0.9
        found.append(Invariance(level, fit, drop, bool(holds)))
    return found


class _Layout:
    """Where the parameters of a multi-group model lie. Factor variances are 1 and means 0 in the first group; in the others they
    are free as soon as loadings (metric) and intercepts (scalar) are held equal.
    """

    def __init__(self, level: Level, groups: int, owner: npt.NDArray[np.int64]) -> None:
        self.groups, self.owner, self.p, self.q = groups, owner, len(owner), int(owner.max()) + 1
        self.equal_loadings, self.equal_intercepts = level != "configural", level == "scalar"
        self.pairs = np.tril_indices(self.q, -1)

    def start(self, seen: Moments) -> Floats:
        starts = [start_values(s, self.owner, self.pairs) for s in seen.covariance]
        loads, rests, phis = (np.array([one[part] for one in starts]) for part in self._parts())
        first = [loads.mean(axis=0) if self.equal_loadings else loads.ravel(), rests.ravel(), phis.ravel()]
        first.append(seen.mean.mean(axis=0) if self.equal_intercepts else seen.mean.ravel())
        if self.equal_loadings:
            first.append(np.ones((self.groups - 1) * self.q))
        if self.equal_intercepts:
            first.append(np.zeros((self.groups - 1) * self.q))
        return np.concatenate(first)

    def _parts(self) -> tuple[slice, slice, slice]:
        return slice(0, self.p), slice(self.p, 2 * self.p), slice(2 * self.p, None)

    def model(self, theta: Floats) -> tuple[Floats, Floats]:
        g, p, q, pairs = self.groups, self.p, self.q, len(self.pairs[0])
        sizes = [p if self.equal_loadings else g * p, g * p, g * pairs, p if self.equal_intercepts else g * p]
        sizes += [(g - 1) * q] * (self.equal_loadings + self.equal_intercepts)
        cut = np.split(theta, np.cumsum(sizes)[:-1])
        load = np.zeros((g, p, q))
        load[:, np.arange(p), self.owner] = cut[0].reshape(-1, p)
        phi = np.zeros((g, q, q))
        phi[:, range(q), range(q)] = 1.0
        if self.equal_loadings:
            phi[1:, range(q), range(q)] = cut[4].reshape(g - 1, q)
        phi[:, self.pairs[0], self.pairs[1]] = phi[:, self.pairs[1], self.pairs[0]] = cut[2].reshape(g, pairs)
        mean = np.zeros((g, q))
        if self.equal_intercepts:
            mean[1:] = cut[5].reshape(g - 1, q)
        sigma = load @ phi @ load.transpose(0, 2, 1) + np.einsum("gi,ij->gij", cut[1].reshape(g, p), np.eye(p))
        return sigma, cut[3].reshape(-1, p) + np.einsum("gpq,gq->gp", load, mean)
