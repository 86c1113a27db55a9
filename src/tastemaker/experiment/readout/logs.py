"""From a product's logs to the table of an experiment: one row a unit that was exposed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import scipy

from tastemaker.errors import InputError, many
from tastemaker.experiment.assign import assign, first_exposures
from tastemaker.experiment.checks import SampleRatio, check_units, srm
from tastemaker.experiment.decide import NonInferiority, non_inferior
from tastemaker.experiment.effects import Effect, effects, no_effect, normal_effect, number
from tastemaker.experiment.moments import Metric, Moments, moments
from tastemaker.schema import EventRules

RETURN = (12, 36)  # hours after the first exposure in which somebody seen again has returned


@dataclass(frozen=True)
class Window:
    """How long is counted from the first exposure on: `days` of 24 hours. complete: whether all of them must
    be in the log; else the hours that tell who returned are enough. Raises InputError below one day.
    """

    days: int = 14
    complete: bool = True

    def __post_init__(self) -> None:
        if self.days < 1:
            raise InputError(f"days is {self.days}; give 1 or more")

    @property
    def hours(self) -> int:
        """The hours that must be in the log."""
        return max(24 * self.days, RETURN[1]) if self.complete else RETURN[1]


def unit_table(
    exposures: pa.Table,
    events: pa.Table,
    slates: pa.Table,
    salt: str,
    shares: Mapping[str, float],
    window: Window = Window(),
    rules: EventRules | None = None,
) -> pa.Table:
    """What each exposed unit did in the days of `window` from its first exposure on.

    exposures: as `first_exposures` takes it. events: user_id, kind, timestamp, and value where there is one.
    slates: user_id, request_id, timestamp. rules: how events are read. Units of
    whom the log does not hold as long as `window` asks are cut; `cut_of` the table says how many.

    Returns user_id, arm, exposed_at, lists (slates shown), plays (clicks and plays that are more than a
    glance), likes (whatever else says that the item is wanted), skips (whatever says that it is not),
    returned (0 or 1: seen again `RETURN` hours after the first exposure, so around the same hour of the next
    day and not merely after midnight), days_active (further days, each 24 hours around that hour, with a list
    or event), and before: events before the exposure, a covariate for CUPED.

    Raises InputError as `first_exposures`, or when nobody was exposed, or nobody's days are in the log.
    """
    units = pl.DataFrame(first_exposures(exposures, salt, shares)).rename(
        {"unit": "user_id", "timestamp": "exposed_at"}
    )
    if units.is_empty():
        raise InputError(
            f"nobody was exposed to '{salt}' yet; serve lists with that experiment set, then export"
        )
    units, cut = _mature(units, (exposures, events, slates), window)
    acts = _signed(events, rules or EventRules()).join(units, on="user_id")
    shown = (
        pl.DataFrame(slates.select(["user_id", "request_id", "timestamp"]))
        .unique("request_id")
        .join(units, on="user_id")
    )
    hours = (pl.col("timestamp") - pl.col("exposed_at")).dt.total_microseconds() / 3.6e9
    seen = pl.concat([part.select("user_id", hours.alias("hours")) for part in (acts, shown)])
    within = (hours >= 0) & (hours < 24 * window.days)
    during = (
        acts.filter(within)
        .group_by("user_id")
        .agg(
            plays=((pl.col("sign") > 0) & ~pl.col("liked")).sum(),
            likes=pl.col("liked").sum(),
            skips=(pl.col("sign") < 0).sum(),
        )
    )
    seen = seen.with_columns(day=((pl.col("hours") + 12) // 24).cast(pl.Int64)).filter(pl.col("day") > 0)
    back = seen.group_by("user_id").agg(
        returned=(pl.col("day") == 1).any().cast(pl.Int64),
        days_active=pl.col("day").filter(pl.col("day") < window.days).n_unique(),
    )
    lists = shown.filter(within).group_by("user_id").agg(lists=pl.len())
    before = acts.filter(hours < 0).group_by("user_id").agg(before=pl.len())
    for part in (lists, during, back, before):
        units = units.join(part, on="user_id", how="left")
    counts = ("lists", "plays", "likes", "skips", "returned", "days_active", "before")
    table = units.with_columns(pl.col(*counts).fill_null(0).cast(pl.Int64)).sort("user_id").to_arrow()
    return table.replace_schema_metadata({"cut": str(cut)})


def cut_of(table: pa.Table) -> int:
    """How many exposed units `unit_table` left out because their days are not in the log in full."""
    return int((table.schema.metadata or {}).get(b"cut", 0))


def _mature(units: pl.DataFrame, logs: Sequence[pa.Table], window: Window) -> tuple[pl.DataFrame, int]:
    """The units whose window ends before the log does, and how many do not."""
    ends = [pl.Series(log["timestamp"]).max() for log in logs if log.num_rows]
    end = max(moment for moment in ends if isinstance(moment, datetime))
    logged = (pl.lit(end) - pl.col("exposed_at")).dt.total_microseconds() / 3.6e9
    whole = units.filter(logged >= window.hours)
    if whole.is_empty():
        longest = float(units.select(logged.max()).item())
        remedy = "export later"
        if longest >= RETURN[1]:
            remedy = f"give --days {max(1, int(longest // 24))}, or export later"
        raise InputError(
            f"nobody's {window.days} days are in the log in full: it ends at {end:%Y-%m-%d %H:%M}, the"
            f" longest-known person has {longest:.0f} hours of it, and returning takes {RETURN[1]}; {remedy}"
        )
    return whole, len(units) - len(whole)


def _signed(events: pa.Table, rules: EventRules) -> pl.DataFrame:
    """user_id, timestamp, and what each event says: sign, and whether it is a like."""
    kinds = events["kind"].to_pylist()
    values = events["value"].to_pylist() if "value" in events.column_names else [None] * len(kinds)
    frame = pl.DataFrame(events.select(["user_id", "timestamp"]))
    return frame.with_columns(
        sign=pl.Series(rules.signs(kinds, values)), liked=pl.Series(rules.liked(kinds, values))
    )


@dataclass(frozen=True)
class AskedAfter:
    """Which events a survey question can follow: those with a reward of at least `threshold` (a like, a play
    of that share or of unknown length) for an item that a slate showed to this person or to `anonymous`.
    """

    threshold: float
    anonymous: str
    rules: EventRules = field(default_factory=EventRules)


def occasions(events: pa.Table, slates: pa.Table, after: AskedAfter) -> pl.DataFrame:
    """Events that a survey question can follow: unit, timestamp."""
    seen = pl.DataFrame(slates.select(["request_id", "item_id", "user_id"])).rename({"user_id": "shown_to"})
    rewards = after.rules.rewards(events["kind"].to_pylist(), events["value"].to_pylist())
    rows = pl.DataFrame(events).filter(pl.Series(rewards >= after.threshold))
    rows = rows.join(seen, on=["request_id", "item_id"])
    theirs = (pl.col("shown_to") == pl.col("user_id")) | (pl.col("shown_to") == after.anonymous)
    return rows.filter(theirs).select(pl.col("user_id").alias("unit"), "timestamp")


UNASKED, ASKED = "unasked", "asked"  # the arms
SHOWN = "asked"  # the column that says who was shown a question
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
    never-asked hash. after: see `occasions`. Counted from the UTC day of the first question on, and only
    people whose next day is in the log, with the hours that tell whether they returned: both groups are cut
    alike.

    Raises InputError when no question was shown, when a never-asked person was asked, or no day is complete.
    """
    asked = pl.DataFrame(questions.select(["user_id", "timestamp"]))
    if asked.is_empty():
        raise InputError("no question was shown yet; set ask_share above 0 in tastemaker.toml and serve")
    _nobody_protected(asked["user_id"].unique().sort().to_list(), salt, settings)
    result = occasions(events, slates, after)
    logged = pl.concat([pl.DataFrame(part.select(["timestamp"])) for part in (events, slates)])["timestamp"]
    last = logged.dt.truncate("1d").max()
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
    asked_then = pl.col("user_id").is_in(shown.unique().to_list()).cast(pl.Int64)
    return units.with_columns(asked_then.alias(SHOWN)).to_arrow()


def _nobody_protected(people: list[str], salt: str, settings: AskingSettings) -> None:
    arms = assign(people, salt, settings.shares)["arm"].to_pylist()
    wrong = [person for person, arm in zip(people, arms, strict=True) if arm == UNASKED]
    if wrong:
        raise InputError(
            f"{len(wrong):,} of the never-asked group were asked, first '{wrong[0]}': ask_holdout or seed was"
            " changed, so the groups are not those of the start; read what was logged since with `experiment"
            " read`"
        )


def read_asking(table: pa.Table, settings: AskingSettings) -> AskingReading:
    """What asking does, from a table with one row a person.

    table: `user_id`, `arm` ('asked': may be asked; 'unasked': never is), the columns of the metrics, and
    `settings.shown`. Nothing is estimated ('cannot tell') when the groups do not hold their shares or one has
    fewer than `settings.least` people. The claim is that asking costs at most `tolerated` of the first
    metric: 'supported' when more harm is excluded at one-sided alpha, 'not supported' when harm is shown,
    else 'cannot tell', with the lift that this many people can show.

    Raises InputError on a missing column, a person twice, an unknown group, or an empty value.
    """
    counts = check_units(lambda: table, "user_id")
    ratio = srm(counts, settings.shares)
    small = next((name for name in (UNASKED, ASKED) if ratio.counts[name] < settings.least), None)
    if ratio.alarm:
        text = f"Sample-ratio alarm: {ratio.reason}; find what loses people before reading any effect"
        return AskingReading(ratio, "cannot tell", text)
    if small:
        text = (
            f"the {small} group has {ratio.counts[small]:,} people and {settings.least:,} are needed; wait,"
            " or raise ask_holdout"
        )
        return AskingReading(ratio, "cannot tell", text)
    columns = list(settings.metrics) + ([Metric(settings.shown)] if settings.shown else [])
    read = moments(table, columns)
    result = effects(read, list(settings.metrics), UNASKED, ASKED, "relative", settings.alpha)
    each = _each(read, settings) if settings.shown else None
    harm = non_inferior(result[0], settings.tolerated, settings.alpha)
    verdict, because = _judged(result[0], harm)
    return AskingReading(ratio, verdict, because, tuple(result), harm, each, read)


def unasked_share(ratio: SampleRatio) -> tuple[str, float, float, float]:
    """Share of people in the never-asked group with its exact 95 % interval, as the row of a figure."""
    n = sum(ratio.counts.values())
    result = scipy.stats.binomtest(ratio.counts[UNASKED], n)
    low, high = result.proportion_ci(0.95)
    return many(n, "person", "people"), float(result.statistic), float(low), float(high)


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

    Source: Wald's estimator, variance of its linearised parts, y - effect * shown (Imbens and Angrist 1994).
    """
    metric, many, none = settings.metrics[0], read[ASKED], read[UNASKED]
    name, share = metric.numerator or metric.name, many.mean_of(settings.shown) - none.mean_of(settings.shown)
    label = f"{metric.name}, for each person shown a question"
    if metric.denominator or share <= 0:
        why = "a ratio has no such effect" if metric.denominator else "nobody was shown a question"
        return no_effect(label, why, "absolute")
    value = (many.mean_of(name) - none.mean_of(name)) / share
    parts = []
    for part in (many, none):
        (own, cross), (_, shown) = part.covariance([name, settings.shown])
        parts.append((own - 2 * value * cross + value**2 * shown) / part.n)
    se = math.sqrt(sum(parts)) / share
    message = ("asking acts on nobody who is shown no question",)
    about: dict[str, Any] = {"n": many.n + none.n, "smallest": min(many.n, none.n), "assumptions": message}
    return normal_effect(Metric(label, better=metric.better), value, se, settings.alpha, **about)
