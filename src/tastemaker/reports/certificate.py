"""A certificate for people: what was claimed, what was found, what has to be believed; as Markdown and as one
HTML page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tastemaker.reports.templating as templating

SUPPORTS = {
    "logged": (
        "Only actions that the logger itself may show count. Plays of new items count as worth nothing."
    ),
    "prefix": (
        "New items count what items of the same Semantic-ID prefix earned. If a prefix does not carry the"
        " whole effect of an item, this certificate can be wrong."
    ),
}


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, a list, and a table of `columns`, whichever there are."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def markdown(certificates: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """The certificate `certificates[chosen]` (as `Certificate.values` gives it) as Markdown, with every
    candidate of its gate.
    """
    return _render("certificate.md", certificates, chosen)


def page(certificates: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """The same as one HTML page; all text is escaped."""
    return _render("certificate.html", certificates, chosen)


def _render(template: str, certificates: Sequence[Mapping[str, Any]], chosen: int) -> str:
    certificate = certificates[chosen]
    return templating.render(
        template,
        title="May go live" if certificate["passed"] else "Must not go live",
        summary=f"Candidate {chosen + 1} of {len(certificates)}. {certificate['reason']}",
        sections=_sections(certificates, chosen),
    )


def _sections(certificates: Sequence[Mapping[str, Any]], chosen: int) -> list[Section]:
    certificate = certificates[chosen]
    candidates = tuple(
        (str(place), f"{each['novelty']:.2%}", number(each["lcb"]), _outcome(each))
        for place, each in enumerate(certificates, start=1)
    )
    notes = list(certificate["assumptions"])
    if certificate.get("halves"):
        early, late = (number(half) for half in certificate["halves"])
        notes.append(f"estimate of V(pi)/V0 on the first half of the time {early}, on the second {late}")
    sections = [
        Section("The claim", (claim(certificate), SUPPORTS[certificate["support"]])),
        Section("The figures", columns=("figure", "value"), rows=_figures(certificate)),
        Section("What has to be true", notes=tuple(notes) or ("nothing was tested",)),
        *_checks(certificate),
        Section(
            "Every candidate", columns=("candidate", "novelty", "lower bound", "outcome"), rows=candidates
        ),
    ]
    if certificate["beside"]:
        others = []
        for other in certificate["beside"]:
            outcome = "would pass" if other["passed"] else "would refuse"
            others.append((other["test"], number(other["lcb"]), outcome, other["note"]))
        columns, note = ("test", "lower bound", "outcome", "note"), "For comparison; they decide nothing."
        title = "Other tests of the same claim"
        sections.append(Section(title, (note,), columns=columns, rows=tuple(others)))
    return sections


def _checks(certificate: Mapping[str, Any]) -> list[Section]:
    """What was checked of the log before; those of the first release have nothing here."""
    if not certificate.get("checks"):
        return []
    accepted = certificate.get("accepted") or ()
    said = f"Accepted although it failed: {', '.join(accepted)}." if accepted else "Every check passed."
    return [Section("What was checked of the log", (said,), notes=tuple(certificate["checks"]))]


def claim(certificate: Mapping[str, Any]) -> str:
    """What was tested, in a sentence."""
    share, margin = f"{certificate['c']:.0%} of what the logger earns", float(certificate["margin"])
    earns = f"at least {share}"
    if margin > 0:
        earns = f"at least {number(margin)} a round more than {share}"
    elif margin < 0:
        earns = f"at most {number(-margin)} a round less than {share} (earlier deployments have banked that)"
    sure = (
        f"with probability {1 - certificate['delta']:g}, this policy earns {earns}, and never less than"
        f" {certificate['floor']:.0%} of it"
    )
    fitted = any("propensities are estimated" in note for note in certificate["assumptions"])
    accepted = certificate.get("accepted") or ()
    given = [
        *(["the fitted logger is the true one"] if fitted else []),
        *([f"what failed ({', '.join(accepted)}) does not matter"] if accepted else []),
    ]
    if given:  # the claim is conditional, and says so before anything else
        sure = f"if {' and '.join(given)}, {sure}"
    text = sure[0].upper() + sure[1:] if certificate["passed"] else f"It was not shown that, {sure}"
    return f"{text}. Tested once, on {certificate['n']:,} rows that had no part in learning or choosing."


def _figures(certificate: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    needed, evidence = number(certificate["margin"]), number(1 / certificate["delta"])
    log_hash, split_hash = certificate["log_hash"][:12], certificate["split_hash"][:12]
    weights = f"{number(certificate['max_weight'])}; {number(certificate['ess'])}"
    return (
        ("Lower bound of V(pi) - c V0", f"{number(certificate['lcb'])} (needed: {needed})"),
        ("Lower bound of V(pi) - floor V0", f"{number(certificate['floor_lcb'])} (needed: 0)"),
        ("Evidence (e-value)", f"{number(certificate['e_value'])} (needed: {evidence})"),
        ("Estimate of V(pi)/V0, no bound", number(certificate["ratio"])),
        ("Novelty: plays of new items", f"{certificate['novelty']:.2%}"),
        ("Plays that the log can speak about", f"{certificate['on_support_mass']:.2%}"),
        ("Rows, of them rewarded", f"{certificate['n']:,}, {certificate['n_rewarded']:,}"),
        *_counted(certificate),
        ("Largest weight; rows worth", weights),
        ("Test", str(certificate["test"])),
        ("Digest of the policy", certificate["policy_hash"][:12]),
        ("Digests of rows and split", f"{log_hash}, {split_hash}"),
    )


def _counted(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many were counted once, and as how many rows at most."""
    if certificate.get("units") is None:
        return []
    names = {"user": "Persons", "request": "Requests", "row": "Rows"}[certificate["unit"]]
    counts = f"{certificate['units']:,}; {certificate['most_rows']:,}"
    return [(f"{names} counted once; rows one counts as at most", counts)]


def number(value: Any) -> str:
    """Six significant digits; a dash where nothing was computed."""
    given = float(value) + 0.0  # no minus before a zero
    return f"{given:.6g}" if math.isfinite(given) else ("unbounded" if given > 0 else "–")


def _outcome(certificate: Mapping[str, Any]) -> str:
    if not certificate["tested"]:
        return str(certificate["reason"])
    failed = "the margin" if float(certificate["lcb"]) < float(certificate["margin"]) else "the floor"
    return "passed" if certificate["passed"] else f"refused: below {failed}"
