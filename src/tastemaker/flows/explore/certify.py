"""One look at the held-out rows, a certificate for people, and a deployment that rests on it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import PLURALS
from tastemaker.explore.checked import certify as run_gate
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.gate.certify import SPENT, GateSettings, Spent, Support
from tastemaker.explore.ledger.ledger import Ledger, admit, bank, margin, record
from tastemaker.explore.rows import (
    Columns,
    Marks,
    column_marks,
    spent_again,
    spent_marks,
    told_again,
    whole_marks,
)
from tastemaker.explore.table import Log
from tastemaker.flows.explore.ledger_store import LedgerStore
from tastemaker.flows.explore.runs import keep_policy, learnt_from, open_run, own_run, read_candidates
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store import Address, Database, Workspace, read_any, write_text

BESIDE_LOG = ".tastemaker-spent.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS spent_rows (gate INTEGER PRIMARY KEY, marks BLOB NOT NULL)"
COLUMNS = "CREATE TABLE IF NOT EXISTS spent_columns (gate INTEGER PRIMARY KEY, marks BLOB NOT NULL)"


@dataclass(frozen=True)
class SpentRows:
    """ledger: its database; log_store: one in the log's folder, None of a workspace or a read-only folder."""

    ledger: Path | Address
    log_store: Path | None = None

    @classmethod
    def of(cls, ledger: Path | Address, log: Path | None) -> SpentRows:
        """Of a ledger and the log it judges."""
        if log is None:
            return cls(ledger)
        log_store = log.resolve().parent / BESIDE_LOG
        try:
            log_store.touch()
        except OSError:
            return cls(ledger)
        return cls(ledger, log_store)

    def read(self) -> Marks:
        """Marks of every row that was opened."""
        parts = [_marks(blob) for blob in self._blobs(TABLE, "spent_rows")]
        return np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *parts]))

    def columns(self) -> list[Columns]:
        """Marks of their columns, gate by gate; none of gates of earlier versions."""
        return [_columns(blob) for blob in set(self._blobs(COLUMNS, "spent_columns"))]

    def _blobs(self, table: str, name: str) -> list[bytes]:
        blobs = list[bytes]()
        for path in self._paths():
            with Database(path) as database, database.transaction() as connection:
                connection.execute(table)
                rows = connection.execute(f"SELECT marks FROM {name}").fetchall()
                blobs += [bytes(row[0]) for row in rows]
        return blobs

    def add(self, log: Log, full: Log | None) -> None:
        """Remember these rows, of the `full` log, as opened. InputError: others opened them meanwhile."""
        marks, columns = spent_marks(log).astype("<u8").tobytes(), io.BytesIO()
        arrays: dict[str, Any] = {**column_marks(log), "whole": whole_marks(log if full is None else full)}
        np.savez_compressed(columns, **arrays)
        for path in self._paths():
            with Database(path) as database, database.transaction() as connection:
                connection.execute(TABLE)
                connection.execute(COLUMNS)
                rows = connection.execute("SELECT marks FROM spent_rows").fetchall()
                column_rows = connection.execute("SELECT marks FROM spent_columns").fetchall()
                opened = np.concatenate([np.empty(0, dtype="<u8"), *(_marks(row[0]) for row in rows)])
                earlier = [_columns(row[0]) for row in column_rows]
                if spent_again(log, opened) or told_again(log, earlier, full):
                    raise InputError(SPENT.format("these rows were meanwhile"))
                connection.execute("INSERT INTO spent_rows (marks) VALUES (?)", (marks,))
                connection.execute("INSERT INTO spent_columns (marks) VALUES (?)", (columns.getvalue(),))

    def _paths(self) -> list[Path | Address]:
        return [path for path in (self.ledger, self.log_store) if path is not None]


def _marks(blob: bytes) -> Marks:
    return np.frombuffer(blob, dtype="<u8").astype(np.uint64)


def _columns(blob: bytes) -> Columns:
    with np.load(io.BytesIO(blob)) as arrays:
        return dict(arrays)


FILE = "certificates.json"


@dataclass(frozen=True)
class GateRequest:
    """terms: those named by the caller (c, floor, delta, K, r_max), which an existing ledger must share;
    support: what counts for new items; planned: rounds the deployment is meant for; most_rows: a person of
    more rows counts as that many (default: the most that one has on S1 and S2); own_key: the key of a split
    for the policy of the column `target`, instead of the candidates of a run.
    """

    terms: Mapping[str, float | int | None] = field(default_factory=dict)
    support: Support = "logged"
    planned: int = 10_000
    most_rows: int | None = None
    own_key: str | None = None


def certify(
    source: Source, folder: Path, out: Path, store: LedgerStore, request: GateRequest, report: Report
) -> dict[str, Any]:
    """Open S3 once: certificates of the candidates of the run in `folder` (or of the caller's own policy),
    recorded in the ledger; a page in `out`. `passed` says how it ended.
    """
    report("certify", 0, 2, "reading")
    loaded = load(source if request.own_key is not None else learnt_from(folder, source))
    run = open_run(folder, loaded) if request.own_key is None else own_run(loaded, request.own_key)
    book = store.read(request.terms)
    if run.parts.digest not in book.spent:
        _require_reference(source, book, store.path)
    needed = margin(book, request.planned, store.unsettled_rounds(book))
    terms = (book.c, book.gate_delta, needed, book.floor, request.support, book.cap)
    gate = GateSettings(*terms, unit=source.unit, most_rows=request.most_rows)
    report(
        "certify", 1, 2, f"{many(len(run.parts.certify), 'row')}, {many(len(run.candidates), 'candidate')}"
    )
    rows = SpentRows.of(store.path, source.log)
    certificates = run_gate(
        run.candidates,
        run.parts,
        gate,
        accept=source.accept,
        new=loaded.catalogue.new,
        spent=Spent(book.spent, rows.read(), rows.columns()),
        existing=loaded.existing,
        chains=run.chains,
    )
    reason, checks = certificates[0].reason, list(certificates[0].checks or ())
    if any(": FAILED: " in line for line in checks):
        return {"passed": False, "reason": reason, "text": reason, "checks": checks}
    rows.add(run.parts.certify, run.parts.whole)
    store.append(book, record(book, certificates))
    values = [certificate.values() for certificate in certificates]
    write_text(out / FILE, json.dumps(values, indent=1) + "\n")
    report("certify", 2, 2, "done")
    return _result(certificates, values, out)


def _require_reference(source: Source, book: Ledger, path: Path | Address) -> None:
    """After a deployment plain rows must say what pi0 gave: the claim is of V0, not of what was served."""
    if source.log is None or book.latest is None:
        return
    name = source.columns().reference
    if name not in read_any(source.log).column_names:
        raise InputError(
            f"{source.log}: column '{name}' is missing. {path} says that a policy was deployed, so rows need"
            " what pi0 gave the shown action; where pi0 served them all, say --column reference=propensity"
        )


def _result(certificates: list[Certificate], values: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    from tastemaker.reports.certificate import markdown, page

    chosen = choose(certificates)
    tested = [certificate for certificate in certificates if certificate.tested]
    shown = chosen or (tested or certificates)[0]
    place = certificates.index(shown)
    write_text(out / "certificate.md", markdown(values, place))
    write_text(out / "certificate.html", page(values, place))
    text = (
        f"{shown.reason}\ncandidate {place + 1} of {len(certificates)}, novelty {shown.novelty:.3f};"
        f" {shown.units:,} {PLURALS[shown.unit or 'row']} counted once; {out / 'certificate.html'}"
    )
    return {
        "passed": chosen is not None,
        "candidate": place + 1,
        "page": str(out / "certificate.html"),
        "certificates": values,
        "text": "\n".join([text, *table(certificates)]),
    }


def choose(certificates: Sequence[Certificate], least_novelty: float | None = None) -> Certificate | None:
    """Of the candidates that passed the one that may go live: the most novel, and of equally novel ones the
    one with the highest lower bound; with `least_novelty` the one with the highest lower bound from there on.
    """
    passed = [certificate for certificate in certificates if certificate.passed]
    if least_novelty is None:
        return max(passed, key=lambda item: (round(item.novelty, 6), item.lcb), default=None)
    enough = [certificate for certificate in passed if certificate.novelty >= least_novelty - 1e-9]
    return max(enough, key=lambda item: item.lcb, default=None)


def table(certificates: Sequence[Certificate]) -> list[str]:
    """Value against novelty, a candidate a line."""
    lines = ["candidate  novelty  V/V0 (estimate)  lower bound  outcome"]
    for number, item in enumerate(certificates, start=1):
        outcome = "passed" if item.passed else "refused" if item.tested else "not tested"
        ratio, lcb = (f"{value:.4g}" if item.tested else "-" for value in (item.ratio, item.lcb))
        lines.append(f"{number:9}  {item.novelty:7.3f}  {ratio:>15}  {lcb:>11}  {outcome}")
    return lines


@dataclass(frozen=True)
class Wish:
    """Which certified candidate to deploy: its number from 1, or the one of most value at this novelty or
    more;
    neither: the most novel.
    """

    candidate: int | None = None
    novelty: float | None = None


def deploy(
    folder: Path, certified: Path, store: LedgerStore, planned: int, wish: Wish = Wish()
) -> dict[str, Any]:
    """Admit a policy that passed, for `planned` rounds. `passed` is false with the reason when none may go
    live. folder: of the run; certified: where `certify` wrote.
    """
    candidates, _ = read_candidates(folder)
    try:
        listed = json.loads((certified / FILE).read_text())
    except (OSError, ValueError):
        raise InputError(f"{certified}: holds no {FILE}; run `tastemaker explore certify` first") from None
    certificates = [Certificate.from_json(json.dumps(values)) for values in listed]
    book = store.read()
    chosen = _wished(certificates, wish)
    if chosen is None:
        tested = [certificate for certificate in certificates if certificate.tested]
        passed = [item for item in certificates if item.passed]
        if passed:
            most = f"the most novel that did has {max(item.novelty for item in passed):.3f}"
            return _refused(f"no candidate of novelty {wish.novelty:g} or more passed; {most}")
        return _refused((tested or certificates)[0].reason)
    place = certificates.index(chosen) + 1
    try:
        after = admit(book, chosen, planned, store.unsettled_rounds(book))
    except InputError as error:
        return _refused(str(error))
    if place > len(candidates) or candidates[place - 1].fingerprint() != chosen.policy_hash:
        raise InputError(
            f"{certified}: certifies policy {chosen.policy_hash[:12]}, which is not in {folder}; give its run"
            " (a policy of your own, certified from a column, has none: serve it yourself)"
        )
    if store.workspace is not None:
        keep_policy(Workspace.open(store.workspace), folder, place, chosen.policy_hash)
    store.append(book, after)
    text = (
        f"deployed candidate {place} of {folder} (policy {chosen.policy_hash[:12]}, novelty"
        f" {chosen.novelty:.3f}) for {many(planned, 'round')}; serve it mixed with pi0: {book.holdout:.0%} of"
        f" requests at random, more where pi0/mixture exceeds {book.cap:g}"
    )
    return {
        "passed": True,
        "candidate": place,
        "novelty": chosen.novelty,
        "lcb": chosen.lcb,
        "policy": chosen.policy_hash,
        "planned": planned,
        "bank": bank(after).low,
        "text": "\n".join([text, *table(certificates)]),
    }


def _wished(certificates: Sequence[Certificate], wish: Wish) -> Certificate | None:
    if wish.candidate is None:
        return choose(certificates, wish.novelty)
    if wish.novelty is not None:
        raise InputError("give either --candidate or --novelty: a candidate has the novelty it has")
    if not 1 <= wish.candidate <= len(certificates):
        raise InputError(
            f"candidate {wish.candidate} does not exist; the certificate has 1 to {len(certificates)}"
        )
    return certificates[wish.candidate - 1]


def _refused(reason: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "text": f"not deployed: {reason}"}
