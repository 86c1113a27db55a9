"""What a rule does to real candidates, as a report: its halves, exposure and diversity."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from tastemaker.retention.adjust.effects import RankEffects
from tastemaker.retention.adjust.rules import Rule
from tastemaker.retention.adjust.tune import Tuned, ablations
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Lines, Table
from tastemaker.stats.intervals import Interval

_LIMITS = (
    "proxy gain counts predicted answers, not people who come back: only a test shows that",
    "engagement here is the base score itself, discounted by position",
)


def effect_row(name: str, effects: RankEffects) -> dict[str, Cell]:
    """One rule as a row: what it gains, what it costs, how much it moves."""
    return {
        "rule": name,
        "proxy gain": effects.proxy_gain,
        "engagement lost": effects.engagement_loss,
        f"top {effects.k} kept": effects.overlap,
        "largest move": effects.displacement,
    }


def movement_row(name: str, effects: RankEffects) -> dict[str, Cell]:
    """One rule as a row: churn and, where items have attributes, diversity."""
    row: dict[str, Cell] = {
        "rule": name,
        f"lists changed (top {effects.k})": effects.changed,
        "Kendall tau": effects.tau,
    }
    if not math.isnan(effects.distance_before):
        row |= {
            "diversity before": round(effects.distance_before, 4),
            "diversity after": round(effects.distance_after, 4),
        }
    return row


def exposure_rows(effects: RankEffects) -> list[dict[str, Cell]]:
    """Gini of exposure by each column, and the value whose share moved most."""
    rows: list[dict[str, Cell]] = []
    for name, item in effects.exposure.items():
        value, before, after = item.moves[0]
        moved = f"{value}: {100 * before:.2f} % to {100 * after:.2f} %"
        rows.append(
            {
                "exposure by": name,
                "Gini before": item.gini_before,
                "Gini after": item.gini_after,
                "largest move": moved,
            }
        )
    return rows


def preview(scored: pa.Table, rule: Rule, name: str, k: int = 10) -> tuple[RankEffects, ClaimReport]:
    """Effects of `rule` on `scored`, and the report: is there a proxy gain, at which price?

    The claim is supported when the interval of the proxy gain lies above 0. Raises InputError as `adjust`.
    """
    parts = ablations(scored, rule, k)
    full = parts["both"]
    gain, lost = full.proxy_gain, full.engagement_loss
    verdict: Any = "supported" if gain.low > 0 else "not supported"
    moved = f"Predicted positive answers in the top {k} change by {_points(gain)}"
    because = f"{moved}; {100 * lost.value:.2f} % of the engagement range is given up."
    rows = [effect_row(name if part == "both" else f"{name}, {part}", item) for part, item in parts.items()]
    churn = [
        movement_row(name if part == "both" else f"{name}, {part}", item) for part, item in parts.items()
    ]
    rest = Table.of("Exposure (1 / log2(1 + position) within the top)", exposure_rows(full))
    gains = {f"{name}, {part}": effects.proxy_gain for part, effects in parts.items()}
    picture = Intervals.of("Proxy gain", f"change of mean p in the top {k}", gains, reference=0.0)
    return full, ClaimReport(
        f"{name} puts more of what people return for into the first {k}",
        verdict,
        because,
        (Table.of("This rule, and each half alone", rows), Table.of("Churn and diversity", churn), rest),
        (picture,),
        (
            "the proxy is calibrated on the candidates ranked here",
            "requests of different users are independent",
        ),
        _LIMITS,
        settings={"rule": type(rule).__name__, **asdict(rule), "k": k, "requests": full.requests},
    )


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:+.2f} points ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"


def tuned_claim(claim: ClaimReport, tuned: Tuned, cap: float) -> ClaimReport:
    """The preview of a tuned rule, with how its weight was found; a weight of 0 means that the cap allows
    none.
    """
    x = tuple(float(place + 1) for place in range(len(tuned.rounds)))
    series = (
        ("weight", x, tuple(item for item, _ in tuned.rounds)),
        ("loss, percent", x, tuple(100 * item for _, item in tuned.rounds)),
    )
    text = (
        f"Weight {tuned.rule.weight:.3f} gives up {100 * tuned.loss:.2f} % of the engagement range (cap"
        f" {100 * cap:g} %). "
    )
    result: Any = claim.verdict if tuned.rule.weight > 0 else "not supported"
    figures = (*claim.figures, Lines("Dual updates", "round", "weight, loss", series))
    return replace(
        claim,
        verdict=result,
        because=text + claim.because,
        figures=figures,
        settings={**claim.settings, "cap": cap},
    )
