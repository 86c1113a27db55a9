"""From effects to a decision agreed before the test: corrections, guardrails, every reason not to ship."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.experiment.checks import SampleRatio
from tastemaker.experiment.contrast import upper_tail
from tastemaker.experiment.effects import Effect, effect, number
from tastemaker.experiment.moments import Metric, Moments
from tastemaker.stats.intervals import checked_p, holm

Verdict = Literal["ship", "do not ship", "cannot tell"]


def bh(p: npt.ArrayLike) -> Floats:
    """Benjamini and Hochberg's adjusted p-values (m,): below q a share q of findings is expected to be false.

    Raises InputError on a p outside [0, 1]. Source: Benjamini and Hochberg, JRSS B 1995.
    """
    values = checked_p(p)
    return (
        np.asarray(scipy.stats.false_discovery_control(values), dtype=np.float64) if len(values) else values
    )


@dataclass(frozen=True)
class NonInferiority:
    """Whether a metric is not worse by more than `margin`: one-sided `bound` (good is positive) and p."""

    metric: str
    margin: float
    bound: float
    p: float
    passed: bool
    reason: str


def non_inferior(effect: Effect, margin: float, alpha: float = 0.05) -> NonInferiority:
    """One-sided test that the good direction of `effect` lies above -margin (in its unit, above 0).

    An effect without a number never passes: absence of evidence is no safety. A lift that has none because
    one arm has no event is bounded by the binomial of the other arm's events. Raises InputError on a margin
    that is not above 0, or alpha outside (0, .5).
    """
    checked_alpha(alpha)
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(
            f"guardrail '{effect.metric}': margin {margin} is not above 0; say how much harm is tolerable"
        )
    if effect.reason and effect.empty is None:
        return NonInferiority(effect.metric, margin, math.nan, math.nan, False, effect.reason)
    bound, up = effect.bound(alpha), effect.better == "up"
    if effect.empty is not None:  # no event in one arm can only speak against the side where it lies
        p = 1.0 if effect.empty.treatment == up else effect.empty.tail(-margin if up else margin)
    else:
        p = upper_tail(effect.t(-margin) if up else -effect.t(margin), effect.df)
    passed = bound > -margin
    text = (
        f"at worst {number(bound, effect.kind)} in the good direction, tolerated"
        f" {number(-margin, effect.kind)}"
    )
    return NonInferiority(effect.metric, margin, bound, p, passed, text)


def checked_alpha(alpha: float) -> None:
    """Raise InputError unless it is the chance of a false alarm: .95 is a confidence, and 5 is in percent."""
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha}; give the chance of a false alarm, above 0 and below .5, as .05")


@dataclass(frozen=True)
class Plan:
    """What was declared before the test started.

    primary: decision metrics (Holm); guardrails: metric -> harm tolerated, in the unit of its effect;
    exploratory: metrics looked at with BH; cohorts: declared in advance, read with BH, never deciding;
    horizon: over which days ("day 1").
    """

    primary: tuple[str, ...]
    guardrails: Mapping[str, float] = field(default_factory=dict)
    exploratory: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    alpha: float = 0.05
    horizon: str = ""

    def __post_init__(self) -> None:
        if not self.primary:
            raise InputError("a plan needs at least one primary metric")
        checked_alpha(self.alpha)
        named = [*self.primary, *self.exploratory]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise InputError(f"metric '{twice[0]}' is declared twice; primary or exploratory, once")
        for name, margin in self.guardrails.items():
            if not (math.isfinite(margin) and margin > 0):
                raise InputError(
                    f"guardrail '{name}': margin {margin} is not above 0; say how much harm is tolerable"
                )


@dataclass(frozen=True)
class Line:
    """A metric of a decision: role, effect, p, adjusted p, guardrail's margin and bound, outcome."""

    role: Literal["primary", "guardrail", "exploratory"]
    effect: Effect
    adjusted: float
    outcome: str
    margin: float = math.nan
    bound: float = math.nan


@dataclass(frozen=True)
class Decision:
    """Verdict, every reason for it, the lines it rests on, and the plan. 'ship' only when nothing stands
    against it. warnings: what casts doubt on it without deciding; arms: the verdict of each treatment.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    lines: tuple[Line, ...]
    plan: Plan
    sample_ratio: SampleRatio | None
    warnings: tuple[str, ...] = ()
    arms: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 to ship, 1 otherwise."""
        return 0 if self.verdict == "ship" else 1


@dataclass(frozen=True)
class Soundness:
    """What the checks of a test found: `alarms` forbid any decision, `warnings` are repeated with it."""

    alarms: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Key = tuple[str, str, str]  # arm, metric, cohort


def decide(
    effects: Sequence[Effect],
    plan: Plan,
    sample_ratio: SampleRatio | None = None,
    soundness: Soundness = Soundness(),
) -> Decision:
    """Ship if the sample ratio holds, a primary metric wins after Holm, none loses, and every guardrail is
    non-inferior.

    effects: one an arm, metric and declared cohort. sample_ratio: `checks.srm` of the same units; without it
    nothing ships. With several treatments Holm runs over all their primary metrics, each guardrail is tested
    at alpha over the number of treatments, and the test ships where one of them does; within a treatment each
    guardrail is tested without correction (intersection-union: all must pass). 'cannot tell' when the test
    itself is unsound or incomplete: an alarm, no sample ratio, a guardrail or primary without a number, an
    undeclared metric or cohort. 'do not ship' when a sound test gives no win, a loss, or a guardrail that may
    be harmed. Raises InputError when a metric comes twice.
    """
    results: dict[Key, Effect] = {}
    for item in effects:
        key = (item.arm, item.metric, item.cohort)
        if key in results:
            raise InputError(
                f"metric '{item.metric}'{_of(item)} has two effects; give one an arm, metric and cohort"
            )
        results[key] = item
    arms = list(dict.fromkeys(item.arm for item in effects)) or [""]
    unsound = [*soundness.alarms, *_unsound(results, plan, sample_ratio)]
    missing = {arm: _missing(results, plan, arm) for arm in arms}
    primary, wins, losses = _primary(results, plan)
    guard, harmed = _guardrails(results, plan, len(arms))
    lines = [*primary, *guard, *_exploratory(results, plan)]
    lines += [
        Line("primary" if name in plan.primary and not cohort else "exploratory", item, math.nan, "no number")
        for (_, name, cohort), item in results.items()
        if item.reason and (cohort or name not in plan.guardrails)
    ]
    warnings = list(soundness.warnings)
    if sample_ratio is not None and sample_ratio.warning:
        warnings.append(f"sample ratio: {sample_ratio.reason}")
    verdicts: dict[str, Verdict] = {}
    reasons: list[str] = []
    for arm in arms:
        against = losses.get(arm, []) + harmed.get(arm, [])
        if arm not in wins:
            against.insert(0, "no primary metric moved in the good direction after Holm's correction")
        passed = [*wins.get(arm, []), "every guardrail is non-inferior", "the arms hold their shares"]
        if sample_ratio is not None and sample_ratio.warning:
            passed.pop()
        if unsound or missing[arm]:
            verdicts[arm], grounds = "cannot tell", missing[arm]
        else:
            verdicts[arm], grounds = ("do not ship", against) if against else ("ship", passed)
        reasons += [f"{arm}: {reason}" if len(arms) > 1 else reason for reason in grounds]
    order: tuple[Verdict, ...] = ("ship", "cannot tell", "do not ship")
    overall = next(verdict for verdict in order if verdict in verdicts.values())
    shown = tuple(dict.fromkeys([*unsound, *reasons]))
    return Decision(
        overall, shown, tuple(lines), plan, sample_ratio, tuple(dict.fromkeys(warnings)), verdicts
    )


def _of(effect: Effect) -> str:
    arm = f" of arm '{effect.arm}'" if effect.arm else ""
    return arm + (f" of cohort '{effect.cohort}'" if effect.cohort else "")


def _unsound(effects: Mapping[Key, Effect], plan: Plan, ratio: SampleRatio | None) -> list[str]:
    """What makes the test unfit to decide anything."""
    out = []
    if ratio is None:
        out.append(
            "the sample ratio was not checked: give the units of each arm and the shares they were promised"
        )
    elif ratio.alarm:
        out.append(f"sample-ratio alarm: {ratio.reason}; find what loses units before reading any effect")
    if not plan.guardrails:
        out.append("no guardrail was declared: say which metric must not get worse, and by how much at most")
    declared = {*plan.primary, *plan.guardrails, *plan.exploratory}
    for _, name, cohort in effects:
        for what, value, known in (("metric", name, declared), ("cohort", cohort, {"", *plan.cohorts})):
            if value not in known:
                out.append(
                    f"{what} '{value}' was not declared in the plan; declare it before the next test, or"
                    " leave it out"
                )
    return list(dict.fromkeys(out))


def _missing(effects: Mapping[Key, Effect], plan: Plan, arm: str) -> list[str]:
    """The primary metrics and guardrails of an arm that have no number."""
    out = []
    for role, names in (("primary metric", plan.primary), ("guardrail", plan.guardrails)):
        for name in names:
            item = effects.get((arm, name, ""))
            if item is None:
                out.append(f"{role} '{name}' is missing: the plan declares it and nothing was measured")
            elif item.reason and (item.empty is None or role != "guardrail"):
                out.append(f"{role} '{name}' has no number: {item.reason}")
    return out


def _primary(
    effects: Mapping[Key, Effect], plan: Plan
) -> tuple[list[Line], dict[str, list[str]], dict[str, list[str]]]:
    """The lines, and what won and lost by arm; Holm over every arm and primary metric."""
    tested = [
        item
        for (_, name, cohort), item in effects.items()
        if name in plan.primary and not cohort and not item.reason
    ]
    lines: list[Line] = []
    won: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for entry, adjusted in zip(tested, holm([item.p for item in tested]), strict=True):
        sure = adjusted < plan.alpha
        outcome = ("better" if entry.good() > 0 else "worse") if sure else "no difference shown"
        lines.append(Line("primary", entry, float(adjusted), outcome))
        if sure:
            low, high = (number(end, entry.kind) for end in (entry.low, entry.high))
            text = (
                f"'{entry.metric}' is {outcome}: {number(entry.value, entry.kind)} ({low} to {high}), Holm p"
                f" = {adjusted:.2g}"
            )
            (won if entry.good() > 0 else lost).setdefault(entry.arm, []).append(text)
    return lines, won, lost


def _guardrails(
    effects: Mapping[Key, Effect], plan: Plan, arms: int
) -> tuple[list[Line], dict[str, list[str]]]:
    lines: list[Line] = []
    harmed: dict[str, list[str]] = {}
    for (arm, name, cohort), item in effects.items():
        if name not in plan.guardrails or cohort:
            continue
        margin = plan.guardrails[name]
        test = non_inferior(item, margin, plan.alpha / arms)
        outcome = "not worse" if test.passed else "may be worse"
        lines.append(Line("guardrail", item, test.p, outcome, margin, test.bound))
        if not test.passed:
            harmed.setdefault(arm, []).append(f"guardrail '{name}' may be harmed: {test.reason}")
    return lines, harmed


def _exploratory(effects: Mapping[Key, Effect], plan: Plan) -> list[Line]:
    """Exploratory metrics, and every declared cohort of any metric."""
    looked = [
        item
        for (_, name, cohort), item in effects.items()
        if not item.reason and (cohort or name in plan.exploratory)
    ]
    adjusted = bh([item.p for item in looked])
    outcomes = [
        ("better" if item.good() > 0 else "worse") if q < plan.alpha else "no difference shown"
        for item, q in zip(looked, adjusted, strict=True)
    ]
    return [
        Line("exploratory", item, float(q), outcome)
        for item, q, outcome in zip(looked, adjusted, outcomes, strict=True)
    ]


def _normals(alpha: float, power: float) -> float:
    checked_alpha(alpha)
    if not 0 < power < 1:
        raise InputError(f"power is {power}; give a number between 0 and 1")
    return float(scipy.special.ndtri([1 - alpha / 2, power]).sum())


def _spread(cv: float, correlation: float) -> float:
    """Relative variance of one unit after CUPED."""
    if not (math.isfinite(cv) and cv > 0) or not -1 < correlation < 1:
        raise InputError(
            f"a coefficient of variation above 0 and a correlation in (-1, 1) are needed; got {cv},"
            f" {correlation}"
        )
    return cv**2 * (1 - correlation**2)


def sample_size(
    cv: float, lift: float, alpha: float = 0.05, power: float = 0.8, correlation: float = 0.0
) -> float:
    """Units an arm to see a relative `lift` (.01: one percent) with `power`, two equal arms, two-sided test.

    cv: standard deviation / mean of the metric by unit; correlation: with its CUPED covariate. Raises
    InputError on values out of range. n = 2 CV^2 (z_{1-a/2} + z_power)^2 / lift^2, times 1 - correlation^2.
    """
    if not (math.isfinite(lift) and lift != 0):
        raise InputError(
            f"the lift to see is {lift}; give a number other than 0, for example .01 for one percent"
        )
    return 2 * _spread(cv, correlation) * (_normals(alpha, power) / lift) ** 2


def detectable(
    cv: float, n: float, alpha: float = 0.05, power: float = 0.8, correlation: float = 0.0
) -> float:
    """The relative lift that `n` units an arm see with `power`. Raises InputError on values out of range."""
    if n < 2:
        raise InputError(f"{n:g} units an arm; at least 2 are needed")
    return _normals(alpha, power) * math.sqrt(2 * _spread(cv, correlation) / n)


def variation(read: Moments, metric: Metric) -> tuple[float, float]:
    """Coefficient of variation of a metric by unit, correlation with its covariate (0: none), from past data.

    Both count through the ratio's linearisation, so `sample_size` holds for ratios too. Raises InputError
    when the metric is 0 or never varies.
    """
    plain = effect(read, read, metric, "absolute", covariate=False)
    if plain.reason or plain.control == 0:
        raise InputError(
            f"metric '{metric.name}' gives no coefficient of variation: {plain.reason or 'its mean is 0'}"
        )
    adjusted = effect(read, read, metric, "absolute") if metric.covariate else plain
    if adjusted.reason:
        raise InputError(f"metric '{metric.name}': {adjusted.reason}")
    selected = adjusted.variance_kept if metric.covariate else 1.0
    return plain.se * math.sqrt(read.n / 2) / abs(plain.control), math.sqrt(max(0.0, 1 - selected))
