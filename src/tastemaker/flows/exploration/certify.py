"""One look at the held-out rows, a certificate for people, and a deployment that rests on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.gate import Certificate, GateSettings, believe
from tastemaker.explore.gate import certify as run_gate
from tastemaker.explore.ledger import Ledger, admit, bank, margin, record
from tastemaker.flows.chain import Report
from tastemaker.flows.exploration.promise import append_entries, ledger_file, read_ledger
from tastemaker.flows.exploration.study import open_study
from tastemaker.flows.exploration.tables import Source, load
from tastemaker.store import write_text

FILE = "certificates.json"


def certify(
    source: Source, study: Path, out: Path, ledger: Path | None, promise: Ledger, support: str, planned: int, report: Report
) -> dict[str, Any]:
    """Open S3 once: certificates of the study's ladder, recorded in the ledger; a page in `out`. `passed` says how it ended."""
    path = ledger_file(source.workspace, ledger)
    report("certify", 0, 2, "reading")
    loaded = load(source)
    found = open_study(study, loaded)
    book = read_ledger(path, promise)
    gate = GateSettings(book.c, book.gate_delta, margin(book, planned), book.floor, support)  # type: ignore[arg-type]
    s1, s2, s3, split_hash = found.parts
    believed = believe(s1, loaded.vectors, loaded.existing, gate.delta) if support == "features" else None
    report("certify", 1, 2, f"{len(s3):,} rows, {len(found.ladder)} candidates")
    certificates = run_gate(
        found.ladder, s2, s3, gate, split_hash=split_hash, spent=book.spent, existing=loaded.existing, believed=believed
    )
    after = record(book, certificates)
    append_entries(path, book, after)
    write_text(out / FILE, json.dumps([json.loads(one.to_json()) for one in certificates], indent=1) + "\n")
    report("certify", 2, 2, "done")
    return _told(certificates, out)


def _told(certificates: list[Certificate], out: Path) -> dict[str, Any]:
    from tastemaker.reports.certificate import markdown, page

    passed = [one for one in certificates if one.passed]
    chosen = passed[-1] if passed else next((one for one in certificates if one.tested), certificates[0])
    values = [json.loads(one.to_json()) for one in certificates]
    place = certificates.index(chosen)
    write_text(out / "certificate.md", markdown(values, place))
    write_text(out / "certificate.html", page(values, place))
    text = (
        f"{chosen.reason}\ncandidate {place + 1} of {len(certificates)}, novelty {chosen.novelty:.3f}; {out / 'certificate.html'}"
    )
    return {
        "passed": bool(passed),
        "candidate": place + 1,
        "page": str(out / "certificate.html"),
        "certificates": values,
        "text": text,
    }


def deploy(study: Path, certificates: Path, workspace: Path | None, ledger: Path | None, planned: int) -> dict[str, Any]:
    """Admit the most novel policy that passed, for `planned` rounds. `passed` is false with the reason when none may go live."""
    path = ledger_file(workspace, ledger)
    try:
        listed = json.loads((certificates / FILE).read_text())
    except (OSError, ValueError):
        raise InputError(f"{certificates}: holds no {FILE}; run `tastemaker explore certify` first") from None
    found = [Certificate.from_json(json.dumps(one)) for one in listed]
    book = read_ledger(path)
    passed = [one for one in found if one.passed]
    if not passed:
        why = next((one.reason for one in found if one.tested), found[0].reason)
        return {"passed": False, "reason": why, "text": f"not deployed: {why}"}
    try:
        after = admit(book, passed[-1], planned)
    except InputError as error:
        return {"passed": False, "reason": str(error), "text": f"not deployed: {error}"}
    append_entries(path, book, after)
    place, chosen = found.index(passed[-1]) + 1, passed[-1]
    text = (
        f"deployed candidate {place} of {study} (policy {chosen.policy_hash[:12]}, novelty {chosen.novelty:.3f}) for {planned:,} "
        f"rounds; serve it mixed with pi0: {book.holdout:.0%} of requests at random, more where pi0/mixture exceeds {book.cap:g}"
    )
    return {
        "passed": True,
        "candidate": place,
        "policy": chosen.policy_hash,
        "planned": planned,
        "bank": bank(after).low,
        "text": text,
    }
