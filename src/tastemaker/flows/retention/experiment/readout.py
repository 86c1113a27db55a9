"""What a read-out, a watch and a surrogate index say, as claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tastemaker.experiment.decide import Decision
from tastemaker.experiment.effects import Effect, number
from tastemaker.experiment.moments import clustered
from tastemaker.experiment.readout import words
from tastemaker.experiment.readout.days import Look, day_bars, look_bars, look_rows
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
    design: Design,
    reading: Reading,
    daily: tuple[Sequence[Any], Mapping[str, Sequence[Effect]]] | None = None,
) -> ClaimReport:
    """The report of a finished test; daily: days and, by treatment, the effect of each day alone."""
    means = [metric for metric in design.metrics if not metric.quantile and metric.winsorise == 1]
    means = [clustered(metric) for metric in means] if design.cluster else means
    rows = words.sensitivity_rows(reading.moments, design.control, means, design.plan.alpha)
    extra = []
    if rows:
        caption = "The smallest lift these units find four times of five."
        extra.append(Table.of("What this test could see", rows, caption))
    if reading.balance:
        caption = "Measured before the start, so the arms must agree in it."
        extra.append(Table.of("Balance of covariates", words.balance_rows(reading.balance), caption))
    split = reading.split
    if split.triggered is not None:
        share = sum(split.triggered.counts.values()) / sum(split.everybody.counts.values())
        caption = f"Only units with '{design.triggered}' were analysed: {share:.1%} of all."
        rows, caption = words.diluted_rows(reading.effects, share), f"{caption} {split.everybody.reason}"
        extra.append(Table.of("What it means for everybody", rows, caption))
    claim = decision_claim(design, reading.decision, reading.effects, extra)
    if daily is None:
        return claim
    caption = "A gain that fades is novelty; one that grows is learning."
    days, result = daily
    title = f"{design.plan.primary[0]}: the effect of each day alone"
    labels = tuple(str(day) for day in days)
    several = len(result) > 1
    groups = tuple((arm if several else "effect", day_bars(items)) for arm, items in result.items())
    bars = Groups(title, "day", _unit(design), labels, groups, caption)
    return replace(claim, figures=(*claim.figures, bars))


def decision_claim(
    design: Design, decision: Decision, values: Sequence[Any], extra: Sequence[Table] = ()
) -> ClaimReport:
    """The report of a decision, however its effects were found."""
    plan = design.plan
    caption = "A guardrail passes when harm beyond what is tolerated is excluded. Intervals are of one metric"
    caption += " alone; p is corrected as 'held to' says."
    tables = [Table.of("Decision", words.decision_rows(decision), caption)]
    if decision.sample_ratio is not None:
        units = f"Sample ratio, clusters of '{design.cluster}'" if design.cluster else "Sample ratio"
        tables.append(Table.of(units, words.ratio_rows(decision.sample_ratio), decision.sample_ratio.reason))
    known = tuple(words.forest(values))
    picture = (Intervals("Effect on each metric", _unit(design), known, 0.0, plan.primary),) if known else ()
    assumed = tuple(dict.fromkeys((*_TRUST, *(text for item in values for text in item.assumptions))))
    settings = {
        "experiment": design.id,
        "alpha": plan.alpha,
        "guardrails": dict(plan.guardrails),
        "shares": dict(design.shares),
        "sample-ratio alarm": design.alarm,
        "sample-ratio warning": design.warn,
    }
    return ClaimReport(
        f"'{design.treatment}' improves {', '.join(plan.primary)} and harms no guardrail",
        words.CLAIMS[decision.verdict],
        words.summary(decision, design.treatment),
        (*tables, *extra),
        picture,
        assumed,
        _LIMITS,
        plan.horizon,
        settings,
    )


def _unit(design: Design) -> str:
    return "change against control, percent" if design.kind == "relative" else "change against control"


def watch_claim(
    design: Design,
    days: Sequence[Any],
    looks: Mapping[tuple[str, str], Sequence[Look]],
    alarms: Sequence[str] = (),
) -> ClaimReport:
    """The report of a running test: every look so far at every metric, by treatment and metric; alarms: what
    forbids to read any.

    'supported' once a primary metric is shown to move; a guardrail whose harm is shown is told first.
    """
    relative, primary = design.kind == "relative", design.plan.primary
    last = {key: items[-1] for key, items in looks.items()}
    moved = [key for key, look in last.items() if key[1] in primary and not look.reason and _shown(look)]
    blind = [look.reason for key, look in last.items() if key[1] in primary and look.reason]
    harmed = [
        key for key, look in last.items() if key[1] in design.plan.guardrails and _side(design, key, look) < 0
    ]
    names = {key: ", ".join(key[::-1] if len(design.treatments) > 1 else key[1:]) for key in looks}
    message = [f"guardrail '{names[key]}' is harmed: stop" for key in harmed]
    if moved:
        message.append(
            "the interval that is valid at every look excludes no effect on"
            f" {', '.join(names[key] for key in moved)}"
        )
    elif blind:
        message.append(blind[0])
    else:
        message.append("no effect is not excluded yet; go on")
    verdict: Any = "supported" if moved else "cannot tell" if blind else "not supported"
    if alarms:
        message, verdict = list(alarms), "cannot tell"
    text = "; ".join(message)
    rows = [_look_row(design, names[key], key, look) for key, look in last.items()]
    tables, figures = [], []
    for key, items in looks.items():
        alone = key[1] == primary[0] and len(design.treatments) == 1
        title = "Looks so far" if alone else f"Looks so far: {names[key]}"
        caption = f"Planned before the start: {design.planned:,} units."
        tables.append(Table.of(title, look_rows(days, items, relative), caption))
        groups = tuple(look_bars(items, relative).items())
        title = f"{names[key]} as the test ran"
        figures.append(Groups(title, "day", _unit(design), tuple(map(str, days)), groups))
    return ClaimReport(
        f"'{design.treatment}' changes {', '.join(primary)}",
        verdict,
        f"{text[:1].upper()}{text[1:]}.",
        tables=(*tables, Table.of("Every metric as of now", rows)),
        figures=tuple(figures),
        assumptions=(*_TRUST, *_WATCHED),
        horizon=design.plan.horizon,
        settings={"experiment": design.id, "planned": design.planned}
        | {"n_min": design.n_min, "alpha": design.plan.alpha},
    )


def _shown(look: Look) -> bool:
    return look.low > 0 or look.high < 0


def _side(design: Design, key: tuple[str, str], look: Look) -> int:
    """What looks say of a guardrail: 1 harm beyond what is tolerated is excluded, -1 shown, 0 neither."""
    if look.reason:
        return 0
    metric = next(item for item in design.metrics if item.name == key[1])
    margin = design.plan.guardrails[key[1]]
    low, high = (look.low, look.high) if metric.better == "up" else (-look.high, -look.low)
    return 1 if low > -margin else -1 if high < -margin else 0


def _look_row(design: Design, name: str, key: tuple[str, str], look: Look) -> words.Row:
    """The last look at one metric: what it is for, and what it says."""
    message = look.reason or ("effect shown" if _shown(look) else "go on")
    role = "primary" if key[1] in design.plan.primary else "exploratory"
    if key[1] in design.plan.guardrails:
        role, margin = "guardrail", design.plan.guardrails[key[1]]
        harmed = f"HARMED by more than {number(margin, design.kind, False)}"
        messages = {1: "not worse", -1: harmed, 0: "go on"}
        message = look.reason or messages[_side(design, key, look)]
    return {"metric": name, "role": role, "so far": message}


def surrogate_claim(
    index: SurrogateIndex, effect: Effect, alone: Sequence[Effect], plan: SurrogatePlan
) -> ClaimReport:
    """Report of a surrogate index, never more than its assumptions; alone: each short outcome's effect."""
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
    moves = "One that moves says neither whether the long one moves nor by how much."
    bars = ((plan.long, effect.value, effect.low, effect.high),)
    picture = Intervals("Effect on the index", f"change of {plan.long}", bars, 0.0)
    return ClaimReport(
        f"'{plan.treatment}' changes {plan.long} in the long run",
        verdict,
        effect.reason or because,
        tables=(
            Table.of("Effect on the index", rows, note),
            Table.of("The index", index_rows(index)),
            Table.of("Each short outcome alone", words.effect_rows(alone), moves),
        ),
        assumptions=effect.assumptions,
        limits=(
            "a surrogate that predicts users does not thereby predict effects: compare with past long tests"
            " (arXiv 2402.17637)",
        ),
        figures=() if effect.reason else (picture,),
        horizon=plan.horizon,
        settings={"short outcomes": list(index.names), "long outcome": plan.long},
    )
