"""One look at the held-out rows, a certificate for people, and a deployment that rests on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.gate import Certificate, GateSettings, Support, believe
from tastemaker.explore.gate import certify as run_gate
from tastemaker.explore.ledger import Ledger, admit, bank, margin, record
from tastemaker.flows.explore.ledger_store import LedgerStore
from tastemaker.flows.explore.runs import keep_policy, learnt_from, open_run, read_candidates
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, read_any, write_text

FILE = "certificates.json"


@dataclass(frozen=True)
class GateRequest:
    """terms: of a ledger that begins now; support: what counts for new items; planned: rounds the deployment
    is meant for.
    """

    terms: Ledger
    support: Support = "logged"
    planned: int = 10_000


def certify(
    source: Source, folder: Path, out: Path, store: LedgerStore, request: GateRequest, report: Report
) -> dict[str, Any]:
    """Open S3 once: certificates of the candidates of the run in `folder`, recorded in the ledger; a page in
    `out`. `passed` says how it ended.
    """
    report("certify", 0, 2, "reading")
    loaded = load(learnt_from(folder, source))
    run = open_run(folder, loaded)
    book = store.read(request.terms)
    if run.parts.digest not in book.spent:
        _require_reference(source, book, store.path)
    needed = margin(book, request.planned, store.unsettled_rounds(book))
    gate = GateSettings(book.c, book.gate_delta, needed, book.floor, request.support, book.cap)
    believed = None
    if request.support == "features":
        believed = believe(run.parts.learn, loaded.vectors, loaded.existing, gate.delta)
    report("certify", 1, 2, f"{len(run.parts.certify):,} rows, {len(run.candidates)} candidates")
    certificates = run_gate(
        run.candidates, run.parts, gate, spent=book.spent, existing=loaded.existing, believed=believed
    )
    store.append(book, record(book, certificates))
    values = [certificate.values() for certificate in certificates]
    write_text(out / FILE, json.dumps(values, indent=1) + "\n")
    report("certify", 2, 2, "done")
    return _result(certificates, values, out)


def _require_reference(source: Source, book: Ledger, path: Path) -> None:
    """After a deployment, plain rows must say what pi0 gave: the claim is about V0, not about what was
    served.
    """
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

    places = range(len(certificates))
    passed = [place for place in places if certificates[place].passed]
    tested = [place for place in places if certificates[place].tested]
    place = passed[-1] if passed else tested[0] if tested else 0
    write_text(out / "certificate.md", markdown(values, place))
    write_text(out / "certificate.html", page(values, place))
    text = (
        f"{certificates[place].reason}\ncandidate {place + 1} of {len(certificates)}, novelty"
        f" {certificates[place].novelty:.3f}; {out / 'certificate.html'}"
    )
    return {
        "passed": bool(passed),
        "candidate": place + 1,
        "page": str(out / "certificate.html"),
        "certificates": values,
        "text": text,
    }


def deploy(folder: Path, certified: Path, store: LedgerStore, planned: int) -> dict[str, Any]:
    """Admit the most novel policy that passed, for `planned` rounds. `passed` is false with the reason when
    none may go live. folder: of the run; certified: where `certify` wrote.
    """
    candidates, _ = read_candidates(folder)
    try:
        listed = json.loads((certified / FILE).read_text())
    except (OSError, ValueError):
        raise InputError(f"{certified}: holds no {FILE}; run `tastemaker explore certify` first") from None
    certificates = [Certificate.from_json(json.dumps(values)) for values in listed]
    book = store.read()
    passed = [certificate for certificate in certificates if certificate.passed]
    if not passed:
        tested = [certificate for certificate in certificates if certificate.tested]
        return _refused((tested or certificates)[0].reason)
    chosen = passed[-1]
    try:
        after = admit(book, chosen, planned, store.unsettled_rounds(book))
    except InputError as error:
        return _refused(str(error))
    place = certificates.index(chosen) + 1
    if place > len(candidates) or candidates[place - 1].fingerprint() != chosen.policy_hash:
        raise InputError(
            f"{certified}: certifies policy {chosen.policy_hash[:12]}, which is not in {folder}; give its run"
        )
    if store.workspace is not None:
        keep_policy(Workspace.open(store.workspace), folder, place, chosen.policy_hash)
    store.append(book, after)
    text = (
        f"deployed candidate {place} of {folder} (policy {chosen.policy_hash[:12]}, novelty"
        f" {chosen.novelty:.3f}) for {planned:,} rounds; serve it mixed with pi0: {book.holdout:.0%} of"
        f" requests at random, more where pi0/mixture exceeds {book.cap:g}"
    )
    return {
        "passed": True,
        "candidate": place,
        "policy": chosen.policy_hash,
        "planned": planned,
        "bank": bank(after).low,
        "text": text,
    }


def _refused(reason: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "text": f"not deployed: {reason}"}
