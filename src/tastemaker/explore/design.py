"""How exploration is shared among new items: by what their plays would teach, not by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DesignSettings:
    """min_plays: expected plays every new item gets (m_min); tolerance: relative gap to the best design;
    steps: at most.
    """

    min_plays: float = 0.0
    tolerance: float = 1e-3
    steps: int = 20_000

    def __post_init__(self) -> None:
        if self.min_plays < 0 or not 0 < self.tolerance < 1 or self.steps < 1:
            raise InputError(
                "a design needs min_plays of at least 0, a tolerance in (0, 1) and at least one step"
            )


def allocate(
    vectors: npt.NDArray[np.floating[Any]],
    budget: float,
    caps: float | npt.ArrayLike = 1.0,
    settings: DesignSettings = DesignSettings(),
    prior: Floats | None = None,
) -> Floats:
    """p (n_novel,), summing to 1, that maximises log det(prior + budget sum_a p_a phi_a phi_a^T).

    Parameters
    ----------
    vectors
        (n_novel, d) the phi_a.
    budget
        expected plays of new items in the deployment: rounds x nu.
    caps
        largest share of one item, or one number each.
    prior
        (d, d) what is known already: the sum of phi phi^T over logged plays (A0), plus a ridge. None: the
        D-optimal design.

    Pairwise Frank-Wolfe with the exact step of a rank-two update; stops when no feasible design can gain more
    than `tolerance` x d. Raises InputError on caps or minimum plays that cannot be met, and on vectors that
    do not span their dimensions without a prior. Source: 2111.04835; Lacoste-Julien and Jaggi, 1511.05932
    (pairwise steps).
    """
    phi = np.asarray(vectors, dtype=np.float64)
    if phi.ndim != 2 or not len(phi) or not np.isfinite(phi).all():
        raise InputError(
            f"a design needs one finite vector an item, at least one item; got an array of shape {phi.shape}"
        )
    low, high = _limits(len(phi), budget, caps, settings.min_plays)
    known = (
        np.zeros((phi.shape[1], phi.shape[1]))
        if prior is None
        else np.asarray(prior, dtype=np.float64) / budget
    )
    share = _share_out(np.ones(len(phi)), low, high)
    if np.linalg.matrix_rank(known + (phi * share[:, None]).T @ phi, hermitian=True) < phi.shape[1]:
        raise InputError(
            f"{len(phi)} vectors do not span their {phi.shape[1]} dimensions; give a prior (a ridge), or"
            " fewer dimensions"
        )
    return _ascend(phi, known, share, low, high, settings)


def _limits(
    items: int, budget: float, caps: float | npt.ArrayLike, min_plays: float
) -> tuple[Floats, Floats]:
    if not 0 < budget < np.inf:
        raise InputError(f"the budget is {budget}; give the expected plays of new items, above 0")
    low = np.full(items, min_plays / budget)
    high = np.broadcast_to(np.asarray(caps, dtype=np.float64), (items,)).copy()
    if low.sum() > 1 + 1e-12:
        raise InputError(
            f"{items} items x {min_plays:g} plays exceed the budget of {budget:g} plays; raise the budget or"
            " lower min_plays"
        )
    if np.any(high < low) or high.sum() < 1 - 1e-12:
        raise InputError(
            f"caps of sum {high.sum():g} cannot hold a share of 1 and the minimum plays; raise them"
        )
    return low, high


def _share_out(wish: Floats, low: Floats, high: Floats) -> Floats:
    """Shares in [low, high] of sum 1, as proportional to `wish` as they can be: clip(t wish) for the right
    t.
    """
    left, right = 0.0, float((high / wish).max())
    for _ in range(200):
        middle = (left + right) / 2
        left, right = (middle, right) if np.clip(middle * wish, low, high).sum() < 1 else (left, middle)
    share = np.clip(right * wish, low, high)
    out: Floats = share / share.sum()
    return out


def _ascend(
    phi: Floats, known: Floats, share: Floats, low: Floats, high: Floats, settings: DesignSettings
) -> Floats:
    """Move share from the item whose plays teach least to the one whose plays teach most, until nothing is
    gained.
    """
    d = phi.shape[1]
    inverse: npt.NDArray[Any] = np.empty((d, d))
    gain: npt.NDArray[Any] = np.empty(len(phi))
    for step in range(settings.steps):
        if step % 50 == 0:
            # Anew from time to time: rank-two updates gather rounding errors.
            inverse = np.linalg.inv(known + (phi * share[:, None]).T @ phi)
            gain = np.einsum("ad,de,ae->a", phi, inverse, phi)
            if _gap(gain, share, low, high) <= settings.tolerance * d:
                break
        up = int(np.argmax(np.where(share < high, gain, -np.inf)))
        down = int(np.argmin(np.where(share > low, gain, np.inf)))
        to_up, to_down = inverse @ phi[up], inverse @ phi[down]
        a, b, between = gain[up], gain[down], float(phi[up] @ to_down)
        most = min(high[up] - share[up], share[down] - low[down])
        bend = 2 * (a * b - between**2)
        move = min(most, (a - b) / bend) if bend > 1e-15 else most
        if move <= 0:
            continue
        share[up] += move
        share[down] -= move
        # Sherman-Morrison-Woodbury for + move phi_up phi_up^T - move phi_down phi_down^T.
        core = np.linalg.inv(np.array([[1 / move + a, between], [between, -1 / move + b]]))
        sides = np.stack([to_up, to_down])
        inverse = inverse - sides.T @ core @ sides
        reach = phi @ sides.T
        gain = gain - np.einsum("ai,ij,aj->a", reach, core, reach)
    return share


def _gap(gain: Floats, share: Floats, low: Floats, high: Floats) -> float:
    """How much more a linear model of log det promises for the best feasible design than for this one."""
    order = np.argsort(-gain)
    room = np.minimum(np.cumsum((high - low)[order]), 1 - low.sum())
    best = low.copy()
    best[order] += np.diff(room, prepend=0.0)
    return float(gain @ (best - share))
