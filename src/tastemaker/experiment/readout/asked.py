"""What being asked a survey question does to people: those who may be asked against a hash-assigned group
that never is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl
import pyarrow as pa
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment.assign import assign
from tastemaker.experiment.checks import SampleRatio, check_units, srm
from tastemaker.experiment.decide import NonInferiority, non_inferior
from tastemaker.experiment.effects import Effect, effects, no_effect, number
from tastemaker.experiment.moments import Metric, Moments, moments
from tastemaker.experiment.readout.logs import AskedAfter, Window, occasions, unit_table

UNASKED, ASKED, SHOWN = (
    "unasked",
    "asked",
    "asked",
)  # the arms, and the column that says who was shown a question
Verdict = Literal["supported", "not supported", "cannot tell"]


@dataclass(frozen=True)
class AskingSettings:
    """How the read-out is made.

    metrics: the first is the one the claim is about. holdout: the share of people who are never asked.
    tolerated: harm to the first metric that is accepted, as a share of its value among the never asked (.02
    is two percent). least: people of each group below which nothing is estimated. shown: a 0 / 1 column that
    says who was shown a question, where there is one. Raises InputError where one is out of range.
    """

    metrics: tuple[Metric, ...] = (Metric("returned"),)
    holdout: float = 0.1
    tolerated: float = 0.02
    least: int = 100
    shown: str = ""
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name in ("holdout", "tolerated", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a share above 0 and below 1")
        if self.least < 2 or not self.metrics:
            raise InputError("give at least one metric, and a smallest group of 2 people or more")

    @property
    def shares(self) -> dict[str, float]:
        """What each group was promised."""
        return {UNASKED: self.holdout, ASKED: 1 - self.holdout}


@dataclass(frozen=True)
class AskingReading:
    """Sample ratio, effects of asking on each metric (asked against never asked), and what they say of the
    first.

    each: the effect on the first metric for each person shown a question, absolute; None without that column.
    moments: by group. Empty where the verdict needs no numbers.
    """

    ratio: SampleRatio
    verdict: Verdict
    because: str
    effects: tuple[Effect, ...] = ()
    harm: NonInferiority | None = None
    each: Effect | None = None
    moments: Mapping[str, Moments] | None = None


def people_table(
    events: pa.Table,
    slates: pa.Table,
    questions: pa.Table,
    salt: str,
    settings: AskingSettings,
    after: AskedAfter,
    days: int = 14,
) -> pa.Table:
    """One row a person, from the first event that a question could have followed: `unit_table` and `asked`,
    whether one was shown on that day.

    events, slates: of the database. questions: user_id and timestamp of each question shown. salt: of the
    never-asked hash.
    after: see `occasions`. Counted from the UTC day of the first question on, and only people
    whose next day is in the
    log, with the hours that tell whether they returned: both groups are cut alike.

    Raises InputError when no question was shown, when somebody of the never-asked group was asked, or when no
    day is complete.
    """
    asked = pl.DataFrame(questions.select(["user_id", "timestamp"]))
    if asked.is_empty():
        raise InputError("no question was shown yet; set ask_share above 0 in tastemaker.toml and serve")
    _nobody_protected(asked["user_id"].unique().sort().to_list(), salt, settings)
    result = occasions(events, slates, after)
    last = (
        pl.concat([pl.DataFrame(part.select(["timestamp"])) for part in (events, slates)])["timestamp"]
        .dt.truncate("1d")
        .max()
    )
    first = asked["timestamp"].dt.truncate("1d").min()
    within = (pl.col("timestamp") >= pl.lit(first)) & (pl.col("timestamp") < pl.lit(last))
    log = result.filter(within).group_by("unit").agg(pl.col("timestamp").min()).sort("unit")
    if log.is_empty():
        raise InputError(
            "nobody's next day is in the log yet; read this out a day after the first questions, or later"
        )
    arms = assign(log["unit"].to_list(), salt, settings.shares)["arm"].to_pylist()
    window = Window(days, complete=False)
    log = log.with_columns(pl.lit(salt).alias("experiment"), pl.Series("arm", arms, pl.String))
    units = pl.DataFrame(
        unit_table(log.to_arrow(), events, slates, salt, settings.shares, window, after.rules)
    )
    day = pl.col("timestamp").dt.date() == pl.col("exposed_at").dt.date()
    shown = asked.join(units.select("user_id", "exposed_at"), on="user_id").filter(day)["user_id"]
    return units.with_columns(
        pl.col("user_id").is_in(shown.unique().to_list()).cast(pl.Int64).alias(SHOWN)
    ).to_arrow()


def _nobody_protected(people: list[str], salt: str, settings: AskingSettings) -> None:
    arms = assign(people, salt, settings.shares)["arm"].to_pylist()
    wrong = [person for person, arm in zip(people, arms, strict=True) if arm == UNASKED]
    if wrong:
        raise InputError(
            f"{len(wrong):,} of the never-asked group were asked, first '{wrong[0]}': ask_holdout or seed was"
            " changed, so the groups are not those of the start; read only what was logged since, as a table"
        )


def read_asking(
    table: pa.Table, settings: AskingSettings, unit: str = "user_id", arm: str = "arm"
) -> AskingReading:
    """What asking does, from a table with one row a person.

    table: `unit`, `arm` ('asked': may be asked; 'unasked': never is), the columns of the metrics, and
    `settings.shown`. Nothing is estimated ('cannot tell') when the groups do not hold their shares or one has
    fewer than `settings.least` people. The claim is that asking costs at most `tolerated` of the first
    metric: 'supported' when more harm is excluded at one-sided alpha, 'not supported' when harm is shown,
    else 'cannot tell', with the lift that this many people can show.

    Raises InputError on a missing column, a person twice or in both groups, an unknown group, or an empty
    value.
    """
    counts = check_units(lambda: table, unit, arm)
    ratio = srm(counts, settings.shares)
    small = next((name for name in (UNASKED, ASKED) if ratio.counts[name] < settings.least), None)
    if ratio.alarm:
        return AskingReading(
            ratio,
            "cannot tell",
            f"Sample-ratio alarm: {ratio.reason}; find what loses people before reading any effect",
        )
    if small:
        text = (
            f"the {small} group has {ratio.counts[small]:,} people and {settings.least:,} are needed; wait,"
            " or raise ask_holdout"
        )
        return AskingReading(ratio, "cannot tell", text)
    columns = list(settings.metrics) + ([Metric(settings.shown)] if settings.shown else [])
    read = moments(table, columns, arm)
    result = effects(read, list(settings.metrics), UNASKED, ASKED, "relative", settings.alpha)
    each = _each(read, settings) if settings.shown else None
    harm = non_inferior(result[0], settings.tolerated, settings.alpha)
    verdict, because = _judged(result[0], harm)
    return AskingReading(ratio, verdict, because, tuple(result), harm, each, read)


def unasked_share(ratio: SampleRatio) -> tuple[str, float, float, float]:
    """Share of people in the never-asked group with its exact 95 % interval, as the row of a figure."""
    n = sum(ratio.counts.values())
    result = stats.binomtest(ratio.counts[UNASKED], n)
    low, high = result.proportion_ci(0.95)
    return f"{n:,} people", float(result.statistic), float(low), float(high)


def _judged(effect: Effect, harm: NonInferiority) -> tuple[Verdict, str]:
    """Verdict and its reason for the first metric."""
    if effect.reason:
        return "cannot tell", effect.reason
    text = (
        f"Asking moves '{effect.metric}' by {number(effect.value, 'relative')} "
        + f"({number(effect.low, 'relative')} to {number(effect.high, 'relative')})"
    )
    if harm.passed:
        return "supported", f"{text}; {harm.reason}"
    worse = effect.high < 0 if effect.better == "up" else effect.low > 0
    return ("not supported" if worse else "cannot tell"), f"{text}; {harm.reason}"


def _each(read: Mapping[str, Moments], settings: AskingSettings) -> Effect:
    """Absolute effect on the first metric for each person shown a question: the difference of the groups over
    the share shown.

    Source: Wald's estimator with the variance of its linearised parts, y - effect * shown (Imbens and Angrist
    1994).
    """
    metric, many, none = settings.metrics[0], read[ASKED], read[UNASKED]
    name, share = metric.numerator or metric.name, many.mean_of(settings.shown) - none.mean_of(settings.shown)
    label = f"{metric.name}, for each person shown a question"
    if metric.denominator or share <= 0:
        return no_effect(
            label,
            "a ratio has no such effect" if metric.denominator else "nobody was shown a question",
            "absolute",
        )
    value = (many.mean_of(name) - none.mean_of(name)) / share
    parts = []
    for part in (many, none):
        (own, cross), (_, shown) = part.covariance([name, settings.shown])
        parts.append((own - 2 * value * cross + value**2 * shown) / part.n)
    se = math.sqrt(sum(parts)) / share
    half = float(stats.norm.ppf(1 - settings.alpha / 2)) * se
    p = float(2 * stats.norm.sf(abs(value) / se)) if se > 0 else math.nan
    message = ("asking acts on nobody who is shown no question",)
    n, smallest = many.n + none.n, min(many.n, none.n)
    return Effect(
        label,
        value,
        value - half,
        value + half,
        n,
        "absolute",
        p,
        message,
        se=se,
        smallest=smallest,
        better=metric.better,
    )
