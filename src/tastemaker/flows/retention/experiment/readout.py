"""What a read-out, a watch and a surrogate index say, as claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tastemaker.experiment.decide import Decision
from tastemaker.experiment.effects import Effect
from tastemaker.experiment.readout import words
from tastemaker.experiment.readout.days import day_bars, look_bars, look_rows
from tastemaker.experiment.readout.design import Design
from tastemaker.experiment.readout.read import Reading
from tastemaker.experiment.surrogate import SurrogateIndex, SurrogatePlan, index_rows
from tastemaker.retention.report import ClaimReport, Groups, Intervals, Table
from tastemaker.stats.intervals import Interval

_TRUST = (
    "units do not affect each other, and the arm was assigned at random",
    "the plan was written before the first look at the data",
)
_WATCHED = (
    "the planned size was fixed before the start",
    "the effect is the same on every day: the intervals of all looks are intersected",
    "units keep arriving; where looks revisit the same units with more days, the guarantee is approximate",
)
LEAST_R2 = 0.01  # of the long outcome; an index that explains less says nothing of it
_LIMITS = (
    "the effect over this horizon says nothing about a later one",
    "a metric that was not declared proves nothing here",
)


def readout_claim(
    design: Design, reading: Reading, daily: tuple[Sequence[Any], Sequence[Any]] | None = None
) -> ClaimReport:
    """The report of a finished test; daily: days and the effect of each day alone."""
    rows = words.sensitivity_rows(reading.moments, design.control, design.read_as, design.plan.alpha)
    sensitivity = (
        [Table.of("What this test could see", rows, "The smallest lift these units find four times of five.")]
        if rows
        else []
    )
    claim = decision_claim(design, reading.decision, reading.effects, sensitivity)
    if daily is None:
        return claim
    caption = "A gain that fades is novelty; one that grows is learning."
    days, result = daily
    title = f"{design.plan.primary[0]}: the effect of each day alone"
    labels = tuple(str(day) for day in days)
    bars = Groups(title, "day", _unit(design), labels, (("effect", day_bars(result)),), caption)
    return replace(claim, figures=(*claim.figures, bars))


def decision_claim(
    design: Design, decision: Decision, values: Sequence[Any], more: Sequence[Table] = ()
) -> ClaimReport:
    """The report of a decision, however its effects were found."""
    plan = design.plan
    tables = [
        Table.of(
            "Decision",
            words.decision_rows(decision),
            "A guardrail passes when harm beyond what is tolerated is excluded.",
        )
    ]
    if decision.sample_ratio is not None:
        tables.append(
            Table.of("Sample ratio", words.ratio_rows(decision.sample_ratio), decision.sample_ratio.reason)
        )
    known = tuple(words.forest(values))
    picture = (Intervals("Effect on each metric", _unit(design), known, 0.0, plan.primary),) if known else ()
    assumed = tuple(dict.fromkeys((*_TRUST, *(text for item in values for text in item.assumptions))))
    settings = {
        "experiment": design.id,
        "alpha": plan.alpha,
        "guardrails": dict(plan.guardrails),
        "shares": dict(design.shares),
    }
    return ClaimReport(
        f"'{design.treatment}' improves {', '.join(plan.primary)} and harms no guardrail",
        words.CLAIMS[decision.verdict],
        words.summary(decision, design.treatment),
        (*tables, *more),
        picture,
        assumed,
        _LIMITS,
        plan.horizon,
        settings,
    )


def _unit(design: Design) -> str:
    return "change against control, percent" if design.kind == "relative" else "change against control"


def watch_claim(design: Design, metric: str, days: Sequence[Any], looks: Sequence[Any]) -> ClaimReport:
    """The report of a running test: one metric, every look so far."""
    last, relative = looks[-1], design.kind == "relative"
    shown = not last.reason and (last.low > 0 or last.high < 0)
    verdict: Any = "cannot tell" if last.reason else "supported" if shown else "not supported"
    message = (
        "The interval that is valid at every look excludes no effect"
        if shown
        else "No effect is not excluded yet; go on"
    )
    groups = tuple(look_bars(looks, relative).items())
    bars = Groups(f"{metric} as the test ran", "day", _unit(design), tuple(map(str, days)), groups)
    return ClaimReport(
        f"'{design.treatment}' changes {metric}",
        verdict,
        f"{last.reason or message}.",
        tables=(
            Table.of(
                "Looks so far",
                look_rows(days, looks, relative),
                f"Planned before the start: {design.planned:,} units.",
            ),
        ),
        figures=(bars,),
        assumptions=(*_TRUST, *_WATCHED),
        horizon=design.plan.horizon,
        settings={
            "experiment": design.id,
            "planned": design.planned,
            "n_min": design.n_min,
            "alpha": design.plan.alpha,
        },
    )


def surrogate_claim(
    index: SurrogateIndex, effect: Effect, alone: Sequence[Effect], plan: SurrogatePlan
) -> ClaimReport:
    """The report of a surrogate index: never more than its assumptions; alone: the effect on each short
    outcome.
    """
    sure = not effect.reason and (effect.low > 0 or effect.high < 0)
    because = (
        f"The index moved by {words.interval(effect)}; this stands and falls with the assumptions below."
    )
    if index.r2 < LEAST_R2:
        because = (
            f"The short outcomes explain {100 * index.r2:.2g} % of {plan.long} in the history, at least"
            f" {100 * LEAST_R2:g} % is asked for. {because}"
        )
    blind = bool(effect.reason) or index.r2 < LEAST_R2
    verdict: Any = "cannot tell" if blind else "supported" if sure else "not supported"
    estimate = Interval(
        effect.value, effect.low, effect.high, effect.n, "surrogate index", effect.assumptions, effect.reason
    )
    note = (
        f"History: {index.n:,} units, r2 of the index {index.r2:.3f}. Variance: noise of the test plus refits"
        " of the index."
    )
    rows: list[Any] = [{"outcome": plan.long, "effect": estimate, "units": effect.n}]
    return ClaimReport(
        f"'{plan.treatment}' changes {plan.long} in the long run",
        verdict,
        effect.reason or because,
        tables=(
            Table.of("Effect on the index", rows, note),
            Table.of("The index", index_rows(index)),
            Table.of(
                "Each short outcome alone",
                words.effect_rows(alone),
                "One that moves says neither whether the long one moves nor by how much.",
            ),
        ),
        assumptions=effect.assumptions,
        limits=(
            (
                "a surrogate that predicts users does not thereby predict effects: compare with past long"
                " tests (arXiv 2402.17637)"
            ),
        ),
        figures=(
            (
                Intervals(
                    "Effect on the index",
                    f"change of {plan.long}",
                    ((plan.long, effect.value, effect.low, effect.high),),
                    0.0,
                ),
            )
            if not effect.reason
            else ()
        ),
        horizon=plan.horizon,
        settings={"short outcomes": list(index.names), "long outcome": plan.long},
    )
