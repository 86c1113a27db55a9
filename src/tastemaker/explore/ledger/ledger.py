"""The ledger: what deployments earned with certainty, what the next may spend, and what it must pass."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import Units
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.ledger.watch import live_ratios
from tastemaker.explore.table import Log
from tastemaker.stats import betting
from tastemaker.stats.intervals import Interval

Kind = Literal["gate", "deployed", "served", "alarm"]
KINDS: tuple[Kind, ...] = ("gate", "deployed", "served", "alarm")
TABLE_KIND = "exploration"
LATER = ("people", "sums", "sizes")  # keys the first release did not write


@dataclass(frozen=True)
class Entry:
    """One step. kind: "gate" (S3 opened), "deployed", "served" (rounds banked), "alarm" (back to pi0).

    policy: digest of the policy; spent: digests that must not be used again; certificate: its digest; rounds:
    planned ("deployed") or served ("served"); rows, log_sums: how many rows were banked and, a betting
    fraction each, sum log(1 + l g). people, sums, sizes: instead of log_sums, marks of the persons of the
    rows, what each one's gains and rows add up to in rounds: a person who returns later is the same one.
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
    people: tuple[str, ...] = ()
    sums: tuple[float, ...] = ()
    sizes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.rounds < 0 or self.rows < 0:
            raise InputError(
                f"a ledger entry of kind '{self.kind}' with {many(self.rounds, 'round')} and"
                f" {many(self.rows, 'row')} does"
                " not exist"
            )

    def to_row(self) -> dict[str, str]:
        """kind, fingerprint, note (JSON): columns that the table `deployments` has beside the time."""
        values = {name: value for name, value in asdict(self).items() if value or name not in LATER}
        note = json.dumps(values, sort_keys=True)
        return {"kind": TABLE_KIND, "fingerprint": self.policy, "note": note}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """The entry of `to_row`. Raises InputError on a row that is none."""
        try:
            values = json.loads(row["note"])
            lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            return cls(**values | lists)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a row of the deployments table is no ledger entry ({error})") from None


@dataclass(frozen=True)
class Ledger:
    """Promises made once: after every deployment, sum_j rounds_j (V(pi_j) - c V0) >= 0 with probability at
    least 1 - delta.

    K: gates there will ever be (passed or not). holdout: share h of requests that pi0 always serves. cap: U,
    the largest pi0/pi_j the served mixture allows, at most 1/h. share: of each round's rows, at least this
    many are banked (outside S3).
    A ledger never changes: every function returns the next one. Raises InputError on settings out of range.
    """

    c: float = 0.95
    floor: float = 0.90
    delta: float = 0.05
    K: int = 5
    holdout: float = 0.05
    cap: float = 5.0
    r_max: float = 1.0
    share: float = 0.65
    entries: tuple[Entry, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 0 < self.c <= 1 or not 0 < self.floor <= self.c:
            raise InputError(
                f"c is {self.c} and floor {self.floor}; both are shares of the logger's value, 0 < floor <= c"
                " <= 1"
            )
        if not 0 < self.delta < 1 or self.K < 1:
            raise InputError(
                f"delta is {self.delta} and K {self.K}; give a probability in (0, 1) and at least one gate"
            )
        if not 0 < self.holdout < 1 or not 1 <= self.cap <= 1 / self.holdout + 1e-9:
            raise InputError(
                f"holdout {self.holdout} and cap {self.cap}: the holdout is in (0, 1), the cap from 1 to"
                " 1/holdout"
            )
        if not 0 < self.share <= 1 or not 0 < self.r_max < math.inf:
            raise InputError(f"share {self.share} must be in (0, 1] and r_max {self.r_max} above 0")

    @property
    def gate_delta(self) -> float:
        """Level of each gate, delta / (2K)."""
        return self.delta / (2 * self.K)

    @property
    def largest_holdout(self) -> float:
        """The most that pi0's share is ever raised to: at 1/U, pi0/mixture is at most U for any policy."""
        return max(self.holdout, 1 / self.cap)

    @property
    def gates(self) -> int:
        """Gates opened so far."""
        return sum(entry.kind == "gate" for entry in self.entries)

    @property
    def spent(self) -> frozenset[str]:
        """Digests of rows and splits that were opened."""
        return frozenset(mark for entry in self.entries for mark in entry.spent)

    @property
    def serving(self) -> Entry | None:
        """The deployment in force; None when pi0 serves everything."""
        last = [entry for entry in self.entries if entry.kind in ("deployed", "alarm")]
        return last[-1] if last and last[-1].kind == "deployed" else None

    @property
    def latest(self) -> Entry | None:
        """The last deployment, in force or withdrawn; None before the first."""
        return next((entry for entry in reversed(self.entries) if entry.kind == "deployed"), None)

    @property
    def left(self) -> int:
        """Planned rounds of the last deployment not settled yet; its margin covers no more than these."""
        return 0 if self.latest is None else self.unsettled(self.latest.policy)

    def unsettled(self, policy: str) -> int:
        """Planned rounds of a policy's last deployment less those banked; 0 if it never was deployed."""
        places = [
            place
            for place, entry in enumerate(self.entries)
            if entry.kind == "deployed" and entry.policy == policy
        ]
        if not places:
            return 0
        since = self.entries[places[-1] + 1 :]
        return self.entries[places[-1]].rounds - sum(
            entry.rounds for entry in since if (entry.kind, entry.policy) == ("served", policy)
        )

    @property
    def stakes(self) -> Floats:
        """l_f of the bank, f share / (c r_max U): constants, as every round's bets must be the same ones."""
        return np.asarray(betting.FRACTIONS) * self.share / (self.c * self.r_max * self.cap)

    def with_rows(self, rows: Iterable[Mapping[str, Any]]) -> Ledger:
        """This ledger with the entries of stored rows, oldest first; rows of other kinds are passed over."""
        return replace(self, entries=tuple(Entry.from_row(row) for row in rows if row["kind"] == TABLE_KIND))

    def plus(self, entry: Entry) -> Ledger:
        """The ledger with one more entry."""
        return replace(self, entries=(*self.entries, entry))


def bank(ledger: Ledger) -> Interval:
    """Lower bound of all that was earned, sum_j rounds_j (V(pi_j) - c V0), in reward x rounds; 0 at first.

    Rows of nobody known: solves mean_f exp(sum_i log(1 + l_f s_j g_i) - l_f B) = 2/delta, s_j = rounds_j /
    rows_j: since E[1 + l g] <= exp(l E g), it holds at all looks together however the means drift between
    rounds. Rows of persons: the same over each person's sum of all stretches, at 1/2, 1/6, 1/12 ... of the
    level from one banked stretch to the next, as a person's later rows are no fair game given the earlier
    ones. Where a ledger has both, each has half of the level. n counts the banked rows.
    """
    served = [entry for entry in ledger.entries if entry.kind == "served"]
    if not served:
        return Interval(0.0, 0.0, 0.0, 0, "bank", reason="no round has been served yet")
    rounds = sum(entry.rounds for entry in served)
    worst = -ledger.c * ledger.r_max * rounds
    kinds = [[entry for entry in served if bool(entry.people) == known] for known in (False, True)]
    level = ledger.delta / 2 / sum(bool(kind) for kind in kinds)
    low = 0.0
    if kinds[0]:
        sums = np.sum([entry.log_sums for entry in kinds[0]], axis=0)
        low += betting.lower_total(sums, ledger.stakes, level)
    if kinds[1]:
        low += _bank_of_people(ledger, kinds[1], level)
    low = max(low, worst)
    assumptions = (
        "rounds of pi0's holdout and of the policy run at the same time, assigned at random per request",
    )
    return Interval(low, low, math.inf, sum(entry.rows for entry in served), "bank", assumptions)


def _bank_of_people(ledger: Ledger, served: Sequence[Entry], level: float) -> float:
    names = np.concatenate([entry.people for entry in served])
    code = Units.of("user", names)
    gains = np.bincount(code.code, weights=np.concatenate([entry.sums for entry in served]))
    sizes = np.bincount(code.code, weights=np.concatenate([entry.sizes for entry in served]))
    stakes = np.asarray(betting.FRACTIONS) / (ledger.c * ledger.r_max * ledger.cap * float(sizes.max()))
    sums = np.array([float(np.log1p(stake * gains).sum()) for stake in stakes])
    return betting.lower_total(sums, stakes, level / (len(served) * (len(served) + 1)))


def margin(ledger: Ledger, planned: int, unsettled_rounds: int = 0) -> float:
    """m = -B / planned: what `planned` rounds may lose each (negative), or must win back (positive).

    unsettled_rounds: rounds that the last deployment served and nobody banked; its certificate says that they
    earned at least its margin.
    """
    if planned < 1:
        raise InputError(
            f"{many(planned, 'round is', 'rounds are')} planned; a deployment needs at least one"
        )
    least = 0.0 if ledger.latest is None else min(ledger.latest.margin, 0.0)
    return (0.0 - bank(ledger).low - unsettled_rounds * least) / planned


def live_gains(log: Log, ledger: Ledger) -> Floats:
    """g (n,) = (pi/mixture - c pi0/mixture) r of rows that `settle` banks. Raises as `live_ratios`."""
    own, logger = live_ratios(log)
    return (own - ledger.c * logger) * log.reward


def settle(
    ledger: Ledger,
    policy: str,
    gains: npt.ArrayLike,
    rounds: int,
    note: str = "",
    mark: str = "",
    people: Sequence[str] = (),
) -> Ledger:
    """Bank a served stretch: gains (n,) = (pi_k/logger - c pi0/logger) r of its rows outside S3; rounds:
    requests served in all.

    mark: digest of those rows, so that they are banked once. people (n,): who each row is of, by marks that
    name nobody; without them every row is taken as another person's. Raises InputError where gains are below
    -c r_max U, rows were banked before, rounds exceed the planned ones, nothing is deployed, or, without
    people, fewer than `share` of the rounds' rows were kept.
    """
    values = np.asarray(gains, dtype=np.float64)
    if not any(entry.kind == "deployed" and entry.policy == policy for entry in ledger.entries):
        raise InputError(
            f"policy {policy[:12]} was never deployed by this ledger; only rounds of its deployments are"
            " banked"
        )
    if mark in ledger.spent:
        raise InputError(f"these rows ({mark[:12]}) were banked before; bank only what was served since")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError("gains must be one finite number a row")
    left = ledger.unsettled(policy)
    if rounds > left:
        raise InputError(
            f"{many(rounds, 'round is', 'rounds are')} to be banked and {left:,} planned ones"
            " are left: the certificate's margin"
            f" covers no more. Bank the first {left:,}; for more rounds, certify and deploy anew"
        )
    if people and (len(people) != len(values) or not len(values)):
        raise InputError(
            f"{many(len(people), 'person', 'people')} for {many(len(values), 'row')}; give one"
            " a row, and at least one row"
        )
    if rounds < len(values) or (not people and len(values) < ledger.share * rounds):
        raise InputError(
            f"{many(len(values), 'row')} of {many(rounds, 'round')}: bank at least"
            f" {ledger.share:.0%} of them, and none twice"
        )
    low = -ledger.c * ledger.r_max * ledger.cap
    if values.min(initial=0.0) < low * (1 + 1e-9):
        row = int(values.argmin())
        raise InputError(
            f"row {row + 1}: gain {values[row]:g} is below {low:g}, impossible with U = {ledger.cap:g}; serve"
            " the cap"
        )
    each = rounds / max(len(values), 1)
    scaled = values * each
    entry = Entry("served", policy, (mark,) if mark else (), rounds=rounds, rows=len(values), note=note)
    if not people:
        sums = tuple(float(np.log1p(stake * scaled).sum()) for stake in ledger.stakes)
        return ledger.plus(replace(entry, log_sums=sums))
    units = Units.of("user", np.asarray(people))
    first = np.unique(units.code, return_index=True)[1]
    return ledger.plus(
        replace(
            entry,
            people=tuple(people[row] for row in first),
            sums=tuple(np.bincount(units.code, weights=scaled).tolist()),
            sizes=tuple((units.size * each).tolist()),
        )
    )


def record(ledger: Ledger, certificates: Sequence[Certificate]) -> Ledger:
    """Enter an opened gate, passed or not: its rows are spent from now on. All are of one call of `certify`.

    Raises InputError on rows spent before, on more than K gates, and on certificates of other promises.
    """
    if not certificates:
        raise InputError("there is no certificate to record")
    first = certificates[0]
    if len({(certificate.log_hash, certificate.split_hash) for certificate in certificates}) > 1:
        raise InputError("these certificates are of different rows; record each gate by itself")
    if {first.log_hash, first.split_hash} & ledger.spent:
        raise InputError(f"the rows of S3 ({first.log_hash[:12]}) were opened before; collect new rows")
    if ledger.gates >= ledger.K:
        raise InputError(
            f"all {ledger.K} gates of this ledger are used; the promise covers no more. Start a ledger with a"
            " larger K"
        )
    passed = [certificate for certificate in certificates if certificate.passed]
    mark = passed[-1].policy_hash if passed else first.policy_hash
    hashes = ",".join(certificate.hash for certificate in certificates)
    note = f"{len(passed)} of {len(certificates)} passed"
    return ledger.plus(
        Entry("gate", mark, (first.log_hash, first.split_hash), hashes, first.margin, note=note)
    )


def admit(ledger: Ledger, certificate: Certificate, planned: int, unsettled_rounds: int = 0) -> Ledger:
    """Deploy the certified policy for `planned` rounds; unsettled_rounds: as in `margin`.

    Raises InputError without a passed certificate, when its gate was not recorded, when it was deployed
    before, and when it was certified for another c, for a lower floor, at a larger delta or a lower margin
    than the ledger asks for now.
    """
    if not certificate.passed:
        raise InputError(
            f"policy {certificate.policy_hash[:12]} has no passed certificate ({certificate.reason}); nothing"
            " is deployed"
        )
    gates = [entry for entry in ledger.entries if entry.kind == "gate"]
    if not gates or certificate.hash not in gates[-1].certificate.split(","):
        raise InputError("the certificate is not of the latest recorded gate; record it first, then deploy")
    if any(entry.kind == "deployed" and entry.certificate == certificate.hash for entry in ledger.entries):
        raise InputError(
            "this certificate was deployed before, and its margin is spent once; certify on new rows"
        )
    needed = margin(ledger, planned, unsettled_rounds)
    for wrong, what in (
        (certificate.c != ledger.c, f"c = {certificate.c:g}, the ledger promises {ledger.c:g}"),
        (
            certificate.floor < ledger.floor,
            f"floor {certificate.floor:g}, the ledger asks for {ledger.floor:g}",
        ),
        (
            certificate.delta > ledger.gate_delta * (1 + 1e-9),
            f"delta {certificate.delta:g}, a gate has {ledger.gate_delta:g}",
        ),
        (certificate.lcb < needed, f"lower bound {certificate.lcb:g}, {planned} rounds need {needed:g}"),
    ):
        if wrong:
            raise InputError(
                f"the certificate does not fit the ledger: {what}; certify with the ledger's settings"
            )
    entry = Entry(
        "deployed", certificate.policy_hash, certificate=certificate.hash, margin=needed, rounds=planned
    )
    return ledger.plus(entry)


def withdraw(ledger: Ledger, note: str) -> Ledger:
    """All traffic back to pi0, for instance at an alarm. Raises InputError when nothing is deployed."""
    if ledger.serving is None:
        raise InputError("nothing is deployed; pi0 serves everything already")
    return ledger.plus(Entry("alarm", ledger.serving.policy, note=note))
