"""The words of a certificate, shared by its two forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

SUPPORTS = {
    "logged": (
        "Only actions that the logger itself may show count. Plays of new items count as worth nothing."
    ),
    "prefix": (
        "New items count what items of the same Semantic-ID prefix earned. If a prefix does not carry the"
        " whole effect of an item, this certificate can be wrong."
    ),
    "features": (
        "New items count a cautious prediction from their vectors. If their rewards follow another rule than"
        " those of shown items, this certificate can be wrong."
    ),
}


def number(value: Any) -> str:
    """Six significant digits; a dash where nothing was computed."""
    found = float(value) + 0.0  # no minus before a zero
    return f"{found:.6g}" if math.isfinite(found) else ("unbounded" if found > 0 else "–")


def verdict(one: Mapping[str, Any]) -> str:
    """The first line."""
    return "May go live" if one["passed"] else "Must not go live"


def claim(one: Mapping[str, Any]) -> str:
    """What was tested, in a sentence."""
    share, margin = f"{one['c']:.0%} of what the logger earns", float(one["margin"])
    earns = f"at least {share}"
    if margin > 0:
        earns = f"at least {number(margin)} a round more than {share}"
    elif margin < 0:
        earns = f"at most {number(-margin)} a round less than {share} (earlier deployments have banked that)"
    sure = (
        f"with probability {1 - one['delta']:g}, this policy earns {earns}, and never less than"
        f" {one['floor']:.0%} of it"
    )
    said = sure[0].upper() + sure[1:] if one["passed"] else f"It was not shown that, {sure}"
    return f"{said}. Tested once, on {one['n']:,} rows that had no part in learning or choosing."


def facts(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of every figure."""
    return [
        ("Lower bound of V(pi) - c V0", f"{number(one['lcb'])} (needed: {number(one['margin'])})"),
        ("Lower bound of V(pi) - floor V0", f"{number(one['floor_lcb'])} (needed: 0)"),
        ("Evidence (e-value)", f"{number(one['e_value'])} (needed: {number(1 / one['delta'])})"),
        ("Interval of V(pi)/V0, no bound", number(one["ratio"])),
        ("Novelty: plays of new items", f"{one['novelty']:.2%}"),
        ("Plays that the log can speak about", f"{one['on_support_mass']:.2%}"),
        ("Rows, of them rewarded", f"{one['n']:,}, {one['n_rewarded']:,}"),
        ("Largest weight; rows worth", f"{number(one['max_weight'])}; {number(one['ess'])}"),
        ("Test", str(one["test"])),
        ("Digest of the policy", one["policy_hash"][:12]),
        ("Digests of rows and split", f"{one['log_hash'][:12]}, {one['split_hash'][:12]}"),
    ]


def candidates(all_of: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """One line a candidate: number, novelty, bound, verdict."""
    return [
        (str(place), f"{one['novelty']:.2%}", number(one["lcb"]), _outcome(one))
        for place, one in enumerate(all_of, start=1)
    ]


def _outcome(one: Mapping[str, Any]) -> str:
    if not one["tested"]:
        return str(one["reason"])
    failed = "the margin" if float(one["lcb"]) < float(one["margin"]) else "the floor"
    return "passed" if one["passed"] else f"refused: below {failed}"


def markdown(all_of: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """The certificate `all_of[chosen]` (as JSON holds it) as Markdown, with every candidate of its gate."""
    one = all_of[chosen]
    lines = [
        f"# {verdict(one)}",
        "",
        f"Candidate {chosen + 1} of {len(all_of)}. {one['reason']}",
        "",
        "## The claim",
        "",
        claim(one),
    ]
    lines += ["", SUPPORTS[one["support"]], "", "## The figures", "", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts(one)]
    lines += ["", "## What has to be true", ""] + [
        f"- {note}" for note in one["assumptions"] or ("nothing was tested",)
    ]
    lines += ["", "## Every candidate", "", "| candidate | novelty | lower bound | |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in candidates(all_of)]
    if one["beside"]:
        lines += [
            "",
            "## Other tests of the same claim, which decide nothing",
            "",
            "| test | lower bound | | note |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {other['test']} | {number(other['lcb'])} | would {'pass' if other['passed'] else 'refuse'} |"
            f" {other['note']} |"
            for other in one["beside"]
        ]
    return "\n".join(lines) + "\n"
