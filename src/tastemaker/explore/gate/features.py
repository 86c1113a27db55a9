"""Lower bounds of the rewards of items never shown, from their vectors: Bayesian linear regression, checked
on items left out.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.table import Log
from tastemaker.stats.random import generator

LATER = ("unit", "units", "most_rows", "halves", "checks", "accepted")  # keys the first release did not write


@dataclass(frozen=True)
class Comparison:
    """Another test of the same claim on the same rows, for comparison only. lcb: of V(pi) - c V0; nan where
    it does not apply.
    """

    test: str
    lcb: float
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Certificate:
    """The claim "V(pi) - c V0 >= margin, and V(pi) >= floor V0", tested once at level delta on rows opened
    for it.

    policy_hash, log_hash (of the rows it was tested on), split_hash: what was tested on what. lcb: lower
    bound of V(pi) - c V0 in reward units; e_value: wealth against the claim's opposite, passing from 1/delta
    on. ratio: estimate of V(pi)/V0, no bound.
    support: which evidence counts ("logged", "prefix", "features"). on_support_mass, novelty: share of pi on
    actions that the logger plays, and on those it never plays. cap: largest weight of the logger pi0 in these
    rows, 1 where pi0 logged them.
    tested: whether the rows of the last part were opened for this candidate. unit, units, most_rows: what
    counted once ("user", "request", "row"), how many there are, and how many rows one counts as at most.
    halves: the ratio on the first and the second half of the time. checks: what the checks before the gate
    said; accepted: names of those that failed and were accepted. None, and not written, on certificates of
    the first release.
    """

    policy_hash: str
    log_hash: str
    split_hash: str
    c: float
    floor: float
    margin: float
    delta: float
    test: str
    lcb: float
    floor_lcb: float
    e_value: float
    ratio: float
    support: str
    on_support_mass: float
    novelty: float
    max_weight: float
    ess: float
    n: int
    n_rewarded: int
    cap: float
    tested: bool
    passed: bool
    reason: str
    assumptions: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    unit: str | None = None
    units: int | None = None
    most_rows: int | None = None
    halves: tuple[float, float] | None = None
    checks: tuple[str, ...] | None = None
    accepted: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.passed and not (self.tested and self.lcb >= self.margin and self.floor_lcb >= 0):
            raise InputError(
                "a certificate says passed although its bounds do not: it was altered; certify again"
            )

    @property
    def hash(self) -> str:
        """A digest of everything on it."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def values(self) -> dict[str, Any]:
        """Everything on it as plain values; numbers that are not finite are written as text."""
        values = asdict(self)
        # The key of the first release: a ledger holds the digests of certificates it wrote.
        values["beside"] = values.pop("comparisons")
        values = {name: value for name, value in values.items() if name not in LATER or value is not None}
        plain: dict[str, Any] = _plain(values)
        return plain

    def to_json(self) -> str:
        """`values` as one JSON object, keys in order."""
        return json.dumps(self.values(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """The certificate of `to_json`. Raises InputError on anything else, and on one that contradicts
        itself.
        """
        try:
            values = json.loads(text)
            comparisons = tuple(
                Comparison(**{**other, "lcb": float(other["lcb"])}) for other in values.pop("beside", ())
            )
            numbers = {part.name for part in fields(cls) if part.type == "float"}
            given: dict[str, Any] = {
                name: float(value) if name in numbers else value for name, value in values.items()
            }
            given["assumptions"] = tuple(given["assumptions"])
            for name in {"halves", "checks", "accepted"} & given.keys():
                given[name] = tuple(float(part) if name == "halves" else part for part in given[name])
            return cls(**given, comparisons=comparisons)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"this is no certificate ({error}); give a file that the gate wrote") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


FOLDS = 10


@dataclass(frozen=True)
class Believed:
    """low (A,): believed lower bound of the reward, 0 for items that the logger shows; kappa: its distance in
    deviations.

    items: shown items it was checked on; covered: the share of them above their bound when left out.
    """

    low: Floats
    kappa: float
    items: int
    covered: float

    def block(self, rows: slice, actions: slice) -> npt.NDArray[np.floating[Any]]:
        """(r, a) the bounds, the same in every context: what `Policy.expect` averages."""
        wide: npt.NDArray[np.floating[Any]] = np.broadcast_to(
            self.low[actions], (rows.stop - rows.start, len(self.low[actions]))
        )
        return wide

    @property
    def note(self) -> str:
        """The sentence on the certificate."""
        return (
            f"new items are credited with their predicted reward less {self.kappa:.2f} deviations; on"
            f" {self.items} shown items left out in turn, {self.covered:.0%} were worth their bound"
        )


@dataclass(frozen=True)
class Plays:
    """plays (A,) and summed rewards (A,) of every item; noise: the variance of one reward; r_max: the
    largest.
    """

    plays: Ints
    sums: Floats
    noise: float
    r_max: float = 1.0


@dataclass(frozen=True)
class _Items:
    """Shown items: design (k, d+1), mean reward (k,), plays (k,), variance of one reward."""

    design: Floats
    mean: Floats
    plays: Floats
    noise: float


def believe(
    log: Log,
    vectors: npt.NDArray[np.floating[Any]],
    existing: Bools,
    delta: float = 0.05,
    seed: int | str = 0,
) -> Believed:
    """Believed lower bounds of the rewards of the items that `existing` (A,) leaves out, from rows that no
    test uses.

    vectors (A, d). Method and errors as `believe_items`, from the plays and rewards of the log.
    """
    plays = np.bincount(log.action, minlength=log.n_actions).astype(np.int64)
    sums = np.bincount(log.action, weights=log.reward, minlength=log.n_actions).astype(np.float64)
    counts = Plays(plays, sums, float(log.reward.var()), log.r_max)
    return believe_items(counts, vectors, existing, delta, seed)


def believe_items(
    counts: Plays,
    vectors: npt.NDArray[np.floating[Any]],
    existing: Bools,
    delta: float = 0.05,
    seed: int | str = 0,
) -> Believed:
    """`believe` from counts.

    Reward of an item = linear in its vector + an item's own deviation (its variance by moments) + noise.
    kappa starts at the normal quantile of 1 - delta and is raised until the bound holds for a share 1 - delta
    of shown items, each predicted by a fit without its fold; with fewer than 1/delta items there is no such
    kappa and new items get 0. Raises InputError on vectors that do not fit. Source: the specification, 3.1;
    Bishop, Pattern Recognition, section 3.3.
    """
    plays = counts.plays
    if vectors.ndim != 2 or len(vectors) != len(plays) or existing.shape != plays.shape:
        raise InputError(
            f"one vector and one flag for each of {len(plays)} actions are needed; got {vectors.shape}"
        )
    wrong = ~np.isfinite(vectors).all(axis=1)
    if wrong.any():
        raise InputError(f"the vector of action {int(np.argmax(wrong))} is not finite; encode it again")
    shown = np.flatnonzero((plays > 0) & existing)
    design = np.c_[np.ones(len(vectors)), vectors.astype(np.float64)]
    low = np.zeros(len(plays))
    if len(shown) < max(1 / delta, FOLDS):
        return Believed(low, float("inf"), len(shown), 1.0)
    items = _Items(
        design[shown],
        counts.sums[shown] / plays[shown],
        plays[shown].astype(float),
        max(counts.noise, 1e-12),
    )
    kappa, covered = _calibrated(items, delta, seed)
    mean, sd = _predict(items, design[~existing])
    low[~existing] = np.clip(mean - kappa * sd, 0.0, counts.r_max)
    return Believed(low, kappa, len(shown), covered)


def _calibrated(items: _Items, delta: float, seed: int | str) -> tuple[float, float]:
    """kappa and the share of left-out items whose mean reward is above prediction - kappa deviations (its
    noise included).
    """
    fold = generator(seed, "left out").permutation(len(items.mean)) % FOLDS
    scores = np.empty(len(items.mean))
    for left_out in range(FOLDS):
        out = fold == left_out
        rest = _Items(items.design[~out], items.mean[~out], items.plays[~out], items.noise)
        mean, sd = _predict(rest, items.design[out])
        scores[out] = (mean - items.mean[out]) / np.sqrt(sd**2 + items.noise / items.plays[out])
    # The (m+1)(1-delta)-th smallest score bounds a further item's with probability 1 - delta when items are
    # exchangeable.
    rank = int(np.ceil((len(scores) + 1) * (1 - delta)))
    needed = float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")
    kappa = max(float(stats.norm.ppf(1 - delta)), needed)
    return kappa, float((scores <= kappa).mean())


def _predict(items: _Items, design: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and deviation of the reward of an item with a row of `design` (k, d+1)."""
    variance = items.noise / items.plays
    between = _between_items(items)
    weight = 1.0 / (variance + between)
    prior = 1e-6 * weight.sum() * np.diag(np.r_[0.0, np.ones(design.shape[1] - 1)]) + 1e-12 * np.eye(
        design.shape[1]
    )
    precision = (items.design * weight[:, None]).T @ items.design + prior
    covariance = np.linalg.inv(precision)
    mean = design @ (covariance @ (items.design.T @ (weight * items.mean)))
    return mean, np.sqrt(np.einsum("ad,de,ae->a", design, covariance, design) + between)


def _between_items(items: _Items) -> float:
    """Variance of items around the line, what their noise does not explain (DerSimonian and Laird, 1986)."""
    weight = items.plays / items.noise
    root = np.sqrt(weight)
    left = np.linalg.lstsq(items.design * root[:, None], items.mean * root, rcond=None)[0]
    excess = float((weight * (items.mean - items.design @ left) ** 2).sum()) - (
        len(items.mean) - items.design.shape[1]
    )
    return float(max(excess / weight.sum(), 0.0))
