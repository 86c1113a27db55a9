"""Effects and decisions as sentences and rows of tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from tastemaker.errors import InputError
from tastemaker.experiment.checks import SampleRatio
from tastemaker.experiment.decide import Decision, detectable, sample_size, variation
from tastemaker.experiment.effects import Effect, number
from tastemaker.experiment.moments import Metric, Moments

Row = dict[str, str | int | float | bool | None]
CLAIMS: dict[str, Literal["supported", "not supported", "cannot tell"]] = {
    "ship": "supported",
    "do not ship": "not supported",
    "cannot tell": "cannot tell",
}


def interval(effect: Effect) -> str:
    """'+1.20 % (+0.40 % to +2.00 %)', or why there is no number."""
    if effect.reason:
        return effect.reason
    low, high = (number(part, effect.kind) for part in (effect.low, effect.high))
    return f"{number(effect.value, effect.kind)} ({low} to {high})"


def name_of(effect: Effect) -> str:
    """Metric, with its arm and cohort where it has one."""
    return ", ".join(filter(None, (effect.metric, effect.arm, effect.cohort)))


def p_words(p: float) -> str:
    """A p-value as people write it."""
    return "none" if math.isnan(p) else ("< .0001" if p < 1e-4 else f"{p:.4f}".replace("0.", ".", 1))


def summary(decision: Decision, treatment: str = "treatment") -> str:
    """The decision in a few sentences, with what decided it and what casts doubt on it."""
    shipped = [arm for arm, verdict in decision.arms.items() if verdict == "ship" and arm]
    head = {
        "ship": f"Ship '{', '.join(shipped) or treatment}'.",
        "do not ship": f"Do not ship '{treatment}'.",
        "cannot tell": "This test cannot decide.",
    }[decision.verdict]
    reasons = "; ".join(decision.reasons)
    text = f"{head} {reasons[:1].upper()}{reasons[1:]}."
    text += "".join(
        f" WARNING: {warning.removeprefix('sample ratio: WARNING: ')}." for warning in decision.warnings
    )
    return text.replace("?.", "?")


def decision_rows(decision: Decision) -> list[Row]:
    """A row a metric (primary, guardrails, exploratory): effect, adjusted p, outcome, what it is held to."""
    rows: list[Row] = []
    for line in decision.lines:
        kind = line.effect.kind
        held = {"primary": "decides (Holm)", "exploratory": "explores (Benjamini-Hochberg)"}.get(
            line.role, ""
        )
        if line.role == "guardrail":
            worst = "no number" if math.isnan(line.bound) else f"worst {number(line.bound, kind)}"
            held = f"guards: {worst}, tolerated {number(-line.margin, kind)}"
        named = name_of(line.effect) + (" (less is good)" if line.effect.better == "down" else "")
        message = {"outcome": line.outcome, "effect (interval)": interval(line.effect)}
        rows.append({"metric": named, **message, "held to": held, "p": p_words(line.adjusted)})
    return rows


def effect_rows(effects: Sequence[Effect]) -> list[Row]:
    """One row an effect, alone: no correction for the others."""
    return [
        {"metric": name_of(effect), "effect (interval)": interval(effect), "p": p_words(effect.p)}
        for effect in effects
    ]


def ratio_rows(ratio: SampleRatio) -> list[Row]:
    """Units found and expected for each arm."""
    rows: list[Row] = []
    for arm, count in ratio.counts.items():
        due = ratio.expected[arm]
        row: Row = {"arm": arm, "units": f"{count:,}", "expected": f"{due:,.0f}"}
        rows.append(row | {"difference": f"{count - due:+,.0f}"})
    return rows


def balance_rows(effects: Sequence[Effect]) -> list[Row]:
    """One row a covariate: its mean in both arms, and how likely so large a difference is."""
    return [
        {
            "covariate": name_of(effect),
            "treatment": f"{effect.treatment:.4g}",
            "control": f"{effect.control:.4g}",
            "p": p_words(effect.p),
        }
        for effect in effects
    ]


def diluted_rows(effects: Sequence[Effect], share: float) -> list[Row]:
    """What the effect on the triggered means for everybody: the difference times the share of them."""
    return [
        {
            "metric": name_of(effect),
            "difference, triggered": number(effect.treatment - effect.control, "absolute"),
            "difference, everybody": number(share * (effect.treatment - effect.control), "absolute"),
        }
        for effect in effects
        if not effect.reason
    ]


def sensitivity_rows(
    read: Mapping[str, Moments], control: str, metrics: Sequence[Metric], alpha: float = 0.05
) -> list[Row]:
    """The lift of each metric seen by these units with 80 % power, without metrics of no variation."""
    rows: list[Row] = []
    smallest = min(item.n for item in read.values())
    # Equal arms of this size would see as much.
    matched = len(read) / sum(1 / max(item.n, 1) for item in read.values())
    for metric in metrics if matched >= 2 else ():
        plain = read[control]
        try:
            cv, rho = variation(plain, metric)
        except InputError:
            continue
        lift = number(detectable(cv, matched, alpha, correlation=rho), "relative", sign=False)
        row: Row = {"metric": metric.name, "units in the smaller arm": f"{smallest:,}"}
        row |= {"spread (SD / mean)": f"{cv:.2f}", "explained by the past": f"{100 * rho**2:.0f} %"}
        rows.append(row | {"lift seen 4 times of 5": lift})
    return rows


def forest(effects: Sequence[Effect]) -> list[tuple[str, float, float, float]]:
    """(name, value, low, high) of effects that have numbers, relative ones in percent: rows of a figure."""
    out = []
    for effect in effects:
        if not effect.reason:
            scale = 100.0 if effect.kind == "relative" else 1.0
            out.append((name_of(effect), scale * effect.value, scale * effect.low, scale * effect.high))
    return out


ALPHA = 0.05


def power_rows(
    past: Mapping[str, tuple[float, float]],
    lift: float | None,
    units: float | None,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = (0.5, 0.5),
) -> list[Row]:
    """One row a metric of `past` (name -> spread, correlation with the past): units of the smaller arm for
    `lift`, or the lift that `units` of it see. alpha: of one test. shares: of the smaller and the larger arm.
    """
    rows: list[Row] = []
    grown = (1 + shares[0] / shares[1]) / 2  # 1/n + 1/N of the arms as of two equal ones
    for name, (cv, rho) in past.items():
        needed = sample_size(cv, lift, alpha, power, rho) * grown if lift is not None else float(units or 0)
        seen = lift if lift is not None else detectable(cv, needed / grown, alpha, power, rho)
        row: Row = {"metric": name, "cv": cv, "correlation": rho, "lift": seen}
        row |= {"units_per_arm": math.ceil(needed), "power": power, "alpha": alpha}
        rows.append(row | {"units": math.ceil(math.ceil(needed) / shares[0])})
    return rows


def power_text(rows: Sequence[Row], equal: bool = True) -> str:
    """The rows as sentences; equal: whether there are two arms of one size."""
    message = []
    for row in rows:
        lift, chance = 100 * float(row["lift"] or 0), 100 * float(row["power"] or 0)
        basis = f"spread {row['cv']:.3g}, correlation with the past {row['correlation']:.2f}"
        arm = "an arm" if equal else f"in the smallest arm ({row['units']:,} in all)"
        seen = f"{row['units_per_arm']:,} units {arm} see a lift of {lift:.3g} % in {chance:.0f} % of tests"
        basis += "" if row["alpha"] == ALPHA else f", alpha {row['alpha']:.3g}"
        message.append(f"{row['metric']}: {seen} ({basis})")
    return "\n".join(message)
