"""What the ledger remembers: one entry a step, a plain row in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tastemaker.errors import InputError

Kind = Literal["gate", "deployed", "served", "alarm"]
KINDS: tuple[Kind, ...] = ("gate", "deployed", "served", "alarm")
TABLE_KIND = "exploration"


@dataclass(frozen=True)
class Entry:
    """One step. kind: "gate" (S3 opened, passed or not), "deployed", "served" (rounds banked), "alarm" (back
    to pi0).

    policy: digest of the policy; spent: digests that must not be used again; certificate: its digest; rounds:
    planned ("deployed") or served ("served"); rows, log_sums: how many rows were banked and, a betting
    fraction each, sum log(1 + l g).
    """

    kind: Kind
    policy: str
    spent: tuple[str, ...] = ()
    certificate: str = ""
    margin: float = 0.0
    rounds: int = 0
    rows: int = 0
    log_sums: tuple[float, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.rounds < 0 or self.rows < 0:
            raise InputError(
                f"a ledger entry of kind '{self.kind}' with {self.rounds} rounds and {self.rows} rows does"
                " not exist"
            )

    def to_row(self) -> dict[str, str]:
        """kind, fingerprint, note (JSON): the columns that the store's table `deployments` has beside the
        time.
        """
        return {
            "kind": TABLE_KIND,
            "fingerprint": self.policy,
            "note": json.dumps(asdict(self), sort_keys=True),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """The entry of `to_row`. Raises InputError on a row that is none."""
        try:
            found = json.loads(row["note"])
            return cls(**{**found, "spent": tuple(found["spent"]), "log_sums": tuple(found["log_sums"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a row of the deployments table is no ledger entry ({error})") from None
