"""One look at the held-out rows, a certificate for people, and a deployment that rests on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.gate import Certificate, GateSettings, believe
from tastemaker.explore.gate import certify as run_gate
from tastemaker.explore.ledger import Ledger, admit, bank, margin, record
from tastemaker.flows.explore.promise import append_entries, ledger_file, read_ledger, waiting
from tastemaker.flows.explore.study import keep_policy, learnt_from, open_study, read_ladder
from tastemaker.flows.explore.tables import Source, load
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, read_any, write_text

FILE = "certificates.json"


def certify(
    source: Source,
    study: Path,
    out: Path,
    ledger: Path | None,
    promise: Ledger,
    support: str,
    planned: int,
    report: Report,
) -> dict[str, Any]:
    """Open S3 once: certificates of the study's ladder, recorded in the ledger; a page in `out`. `passed`
    says how it ended.
    """
    path = ledger_file(source.workspace, ledger)
    report("certify", 0, 2, "reading")
    loaded = load(learnt_from(study, source))
    found = open_study(study, loaded)
    book = read_ledger(path, promise)
    if found.parts[3] not in book.spent:
        _comparable(source, book, path)
    needed = margin(book, planned, waiting(book, source.workspace))
    gate = GateSettings(book.c, book.gate_delta, needed, book.floor, support, book.cap)  # type: ignore[arg-type]
    s1, s2, s3, split_hash = found.parts
    believed = believe(s1, loaded.vectors, loaded.existing, gate.delta) if support == "features" else None
    report("certify", 1, 2, f"{len(s3):,} rows, {len(found.ladder)} candidates")
    certificates = run_gate(
        found.ladder,
        s2,
        s3,
        gate,
        split_hash=split_hash,
        spent=book.spent,
        existing=loaded.existing,
        believed=believed,
    )
    after = record(book, certificates)
    append_entries(path, book, after)
    write_text(out / FILE, json.dumps([json.loads(one.to_json()) for one in certificates], indent=1) + "\n")
    report("certify", 2, 2, "done")
    return _told(certificates, out)


def _comparable(source: Source, book: Ledger, path: Path) -> None:
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


def _told(certificates: list[Certificate], out: Path) -> dict[str, Any]:
    from tastemaker.reports.certificate import markdown, page

    passed = [one for one in certificates if one.passed]
    chosen = passed[-1] if passed else next((one for one in certificates if one.tested), certificates[0])
    values = [json.loads(one.to_json()) for one in certificates]
    place = certificates.index(chosen)
    write_text(out / "certificate.md", markdown(values, place))
    write_text(out / "certificate.html", page(values, place))
    text = (
        f"{chosen.reason}\ncandidate {place + 1} of {len(certificates)}, novelty {chosen.novelty:.3f};"
        f" {out / 'certificate.html'}"
    )
    return {
        "passed": bool(passed),
        "candidate": place + 1,
        "page": str(out / "certificate.html"),
        "certificates": values,
        "text": text,
    }


def deploy(
    study: Path, certificates: Path, workspace: Path | None, ledger: Path | None, planned: int
) -> dict[str, Any]:
    """Admit the most novel policy that passed, for `planned` rounds. `passed` is false with the reason when
    none may go live.
    """
    path = ledger_file(workspace, ledger)
    ladder, _ = read_ladder(study)
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
        after = admit(book, passed[-1], planned, waiting(book, workspace))
    except InputError as error:
        return {"passed": False, "reason": str(error), "text": f"not deployed: {error}"}
    place, chosen = found.index(passed[-1]) + 1, passed[-1]
    if place > len(ladder) or ladder[place - 1].fingerprint() != chosen.policy_hash:
        raise InputError(
            f"{certificates}: certifies policy {chosen.policy_hash[:12]}, which is not in {study}; give its"
            " study"
        )
    if workspace is not None:
        keep_policy(Workspace.open(workspace), study, place, chosen.policy_hash)
    append_entries(path, book, after)
    text = (
        f"deployed candidate {place} of {study} (policy {chosen.policy_hash[:12]}, novelty"
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
