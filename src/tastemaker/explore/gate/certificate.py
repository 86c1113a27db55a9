"""A certificate of a policy: what was claimed, on which rows it was tested, and what came out."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from tastemaker.errors import InputError

LATER = ("unit", "units", "most_rows", "halves", "checks", "accepted")  # keys the first release did not write


@dataclass(frozen=True)
class Comparison:
    """Another test of the same claim and rows, to compare. lcb: of V(pi) - c V0; nan where none."""

    test: str
    lcb: float
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Certificate:
    """The claim "V(pi) - c V0 >= margin, and V(pi) >= floor V0", tested once at level delta on opened rows.

    policy_hash, log_hash (of the rows it was tested on), split_hash: what was tested on what. lcb: lower
    bound of V(pi) - c V0 in reward units; e_value: wealth against the claim's opposite, passing from 1/delta
    on. ratio: estimate of V(pi)/V0, no bound.
    support: which evidence counts ("logged", "prefix"). on_support_mass, novelty: share of pi on
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
        """The certificate of `to_json`. Raises InputError on anything else, or what contradicts itself."""
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
