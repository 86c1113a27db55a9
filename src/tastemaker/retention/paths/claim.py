"""The path tests as a report."""

from __future__ import annotations

from dataclasses import asdict

from tastemaker.retention.paths.verdict import PathTests
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.stats.estimate import Estimate

VERDICTS: dict[str, Verdict] = {
    "item": "supported",
    "user": "not supported",
    "state": "not supported",
    "unknown": "cannot tell",
}


def claim(found: PathTests, horizon: str = "day 1") -> ClaimReport:
    """'The item causes the return': supported by randomised exposure only, not by verdicts user and state;
    else cannot tell.
    """
    verdict = VERDICTS[found.verdict]
    named: list[tuple[str, str, Estimate | None]] = [
        ("inside users", "log-odds a point", found.within),
        ("between users", "log-odds a point", found.between),
        ("inside users, conditional logit", "log-odds a point", found.conditional),
        ("dealt at random", "probability a point", found.exposure),
    ]
    rows: list[dict[str, Cell]] = [
        {"test": test, "unit": unit, "estimate": one, "positive": one is not None and one.low > 0}
        for test, unit, one in named
    ]
    note = f"{found.n:,} answers of {found.users:,} users, {found.repeaters:,} of them on two or more days."
    if found.reliability is not None:
        note += f" Reliability of the item means: {found.reliability:.2f}."
    odds = {test: one for test, unit, one in named if one is not None and unit == "log-odds a point"}
    return ClaimReport(
        claim=f"Better answers to '{found.settings.survey}' bring returns because of the item shown.",
        verdict=verdict,
        because=f"Verdict {found.verdict}: {found.reason}.",
        tables=(Table.of("Three paths", rows, note),),
        figures=(
            (
                Intervals.of(
                    "Link between answer and return", "log-odds a point of answer", odds, reference=0.0
                ),
            )
            if odds
            else ()
        ),
        assumptions=tuple(
            sorted({said for _, _, one in named if one is not None for said in one.assumptions})
        ),
        limits=(
            (
                "A link inside users does not prove that the item causes: a good day lifts the answer and the"
                " return alike."
            ),
            "Exposure tests what item means show; a purely personal match between user and item escapes it.",
        ),
        horizon=horizon,
        settings=asdict(found.settings) | {"verdict": found.verdict},
    )
