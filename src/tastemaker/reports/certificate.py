"""A certificate for people: what was claimed, found, and has to be believed; as Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tastemaker.reports.claim as claims

SUPPORTS = {
    "logged": (
        "Only actions that the logger itself may show count. Plays of new items count as worth nothing."
    ),
    "prefix": (
        "New items count what items of the same Semantic-ID prefix earned. If a prefix does not carry the"
        " whole effect of an item, this certificate can be wrong."
    ),
}


def markdown(certificates: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """`certificates[chosen]` (`Certificate.values`) as Markdown, with every candidate of its gate."""
    return claims.markdown(_report(certificates, chosen), {})


def page(certificates: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """The same as one HTML page; all text is escaped."""
    return claims.render(_report(certificates, chosen), {})


def _report(certificates: Sequence[Mapping[str, Any]], chosen: int) -> dict[str, Any]:
    """The certificate in the form of every other claim."""
    certificate = certificates[chosen]
    candidates = [
        (str(place), f"{each['novelty']:.2%}", number(each["lcb"]), _outcome(each))
        for place, each in enumerate(certificates, start=1)
    ]
    tables = [
        _table("The figures", ("figure", "value"), _figures(certificate)),
        _table("Every candidate", ("candidate", "novelty", "lower bound", "outcome"), candidates),
    ]
    if certificate.get("checks"):  # those of the first release have none
        accepted = ", ".join(certificate.get("accepted") or ())
        summary = f"Accepted although it failed: {accepted}." if accepted else "Every check passed."
        lines = [(line,) for line in certificate["checks"]]
        tables.append(_table("What was checked of the log", ("check",), lines, summary))
    if certificate["beside"]:
        others = [
            (
                each["test"],
                number(each["lcb"]),
                f"would {'pass' if each['passed'] else 'refuse'}",
                each["note"],
            )
            for each in certificate["beside"]
        ]
        columns, note = ("test", "lower bound", "outcome", "note"), "For comparison; they decide nothing."
        tables.append(_table("Other tests of the same claim", columns, others, note))
    return {
        "claim": "May go live" if certificate["passed"] else "Must not go live",
        "verdict": "passed" if certificate["passed"] else "refused",
        "because": (
            f"{claim(certificate)} Candidate {chosen + 1} of {len(certificates)}. {certificate['reason']}"
        ),
        "tables": tables,
        "assumptions": certificate["assumptions"] or ["nothing was tested"],
        "limits": [SUPPORTS[certificate["support"]]],
    }


def _table(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str = ""
) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows, "note": note}


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
    conditions = [
        *(["the fitted logger is the true one"] if fitted else []),
        *([f"what failed ({', '.join(accepted)}) does not matter"] if accepted else []),
    ]
    if conditions:  # the claim is conditional, and says so before anything else
        sure = f"if {' and '.join(conditions)}, {sure}"
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
        *_halves(certificate),
        ("Test", str(certificate["test"])),
        ("Digest of the policy", certificate["policy_hash"][:12]),
        ("Digests of rows and split", f"{log_hash}, {split_hash}"),
    )


def _halves(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The estimate before and after the middle of the time, where the log has times."""
    if not certificate.get("halves"):
        return []
    early, late = (number(half) for half in certificate["halves"])
    return [("Estimate on the first half of the time; on the second", f"{early}; {late}")]


def _counted(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many were counted once, and as how many rows at most."""
    if certificate.get("units") is None:
        return []
    names = {"user": "Persons", "request": "Requests", "row": "Rows"}[certificate["unit"]]
    counts = f"{certificate['units']:,}; {certificate['most_rows']:,}"
    return [(f"{names} counted once; rows one counts as at most", counts)]


def number(value: Any) -> str:
    """Six significant digits; a dash where nothing was computed."""
    figure = float(value) + 0.0  # no minus before a zero
    return f"{figure:.6g}" if math.isfinite(figure) else ("unbounded" if figure > 0 else "–")


def _outcome(certificate: Mapping[str, Any]) -> str:
    if not certificate["tested"]:
        return str(certificate["reason"])
    failed = "the margin" if float(certificate["lcb"]) < float(certificate["margin"]) else "the floor"
    return "passed" if certificate["passed"] else f"refused: below {failed}"
