"""A world of listeners with known truth: what moves answers, events and returns, and by which path; who they
are, what they meet, what they answer, and who comes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit, logit, ndtri

from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Path = Literal["item", "user", "state"]
PATHS: tuple[Path, ...] = ("item", "user", "state")
QUESTIONS = ("return", "worth", "interest")


@dataclass(frozen=True)
class ListenerWorld:
    """A world tuned to the published correlations and AUCs. Pairs of numbers are (high-signal, low-signal)
    listeners unless said.

    share_item, share_user, share_state: **the causal switch**, shares of the variance of the retention latent
    Q = sqrt(share_item) I + sqrt(share_user) T + sqrt(share_state) M; they sum to 1.
    item_parts: variance shares of I that are the item's own quality, the listener's affinity to it, and
    noise. return_*, worth_*, interest_*: loadings of each question on the shared value Z and on Q;
    `worth_value` and `interest_value` are (practical, interest) content. answer_shares: population shares of
    answers 1 to 5.
    base, spread, history_noise, effect, sameday: logit of returning = base + spread D + effect Q + sameday S
    + asked_effect asked; a model sees base + spread D only with noise of SD history_noise.
    like, save, reshare: (intercept, slope on Z) of the logit of each event.
    ask_rate: probability of being asked. answer_rate, answer_by_activity, answer_by_base: probability of
    answering when asked, and the slopes of its logit on log activity and on D; rate 1 means that everybody
    answers.
    style_shift, style_stretch: SD of a listener's habit to answer high, and of the log of their habit to
    answer in extremes.
    listeners, items, days: sizes; each listener has one pair (impression) on each day.

    Against the source specification, `return_quality` is .575 (not .60) and the low-signal `history_noise`
    1.65 (not 1.5): with those values the low-signal AUCs came out up to .012 above the published ones, out of
    the .010 aimed at. Raises InputError where a setting is out of range.
    """

    share_item: float = 1.0
    share_user: float = 0.0
    share_state: float = 0.0
    item_parts: tuple[float, float, float] = (0.3, 0.4, 0.3)
    return_value: float = 0.78
    return_quality: float = 0.575
    worth_value: tuple[float, float] = (0.97, 0.77)
    interest_value: tuple[float, float] = (0.59, 0.775)
    interest_quality: float = 0.18
    answer_shares: tuple[float, ...] = (0.10, 0.12, 0.22, 0.32, 0.24)
    practical_share: float = 0.55
    low_share: float = 0.3
    base: tuple[float, float] = (2.4, -1.3)
    spread: tuple[float, float] = (2.35, 1.12)
    history_noise: tuple[float, float] = (0.5, 1.65)
    effect: tuple[float, float] = (2.35, 1.38)
    sameday: tuple[float, float] = (1.2, 0.3)
    asked_effect: float = 0.0
    like: tuple[float, float] = (-3.0, 1.55)
    save: tuple[float, float] = (-4.5, 0.95)
    reshare: tuple[float, float] = (-5.2, 1.1)
    ask_rate: float = 1.0
    answer_rate: float = 1.0
    answer_by_activity: float = 0.0
    answer_by_base: float = 0.0
    style_shift: float = 0.0
    style_stretch: float = 0.0
    listeners: int = 20_000
    items: int = 2_000
    days: int = 2

    def __post_init__(self) -> None:
        shares = (self.share_item, self.share_user, self.share_state)
        for name, parts in (
            ("share_*", shares),
            ("item_parts", self.item_parts),
            ("answer_shares", self.answer_shares),
        ):
            if min(parts) < 0 or not math.isclose(sum(parts), 1.0, abs_tol=1e-9):
                raise InputError(f"ListenerWorld.{name} are {parts}; shares are at least 0 and sum to 1")
        if len(self.answer_shares) != 5 or min(self.answer_shares) <= 0:
            raise InputError(
                "ListenerWorld.answer_shares needs five shares above 0, one for each answer 1 to 5"
            )
        for question in QUESTIONS:
            for content, (value, quality) in enumerate(zip(*self.loadings(question), strict=True)):
                if value * value + quality * quality > 1:
                    raise InputError(
                        f"ListenerWorld: loadings of '{question}' on {('practical', 'interest')[content]}"
                        f" content are {value:g} and {quality:g}; their squares may sum to 1 at most"
                    )
        for name in ("practical_share", "low_share", "ask_rate", "answer_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"ListenerWorld.{name} is {getattr(self, name)}; give a share above 0 and at most 1"
                )
        for name in ("answer_by_activity", "answer_by_base", "asked_effect"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"ListenerWorld.{name} is {getattr(self, name)}; give a finite number")
        if min(self.listeners, self.items, self.days) < 1:
            raise InputError("ListenerWorld needs at least 1 listener, 1 item and 1 day")

    @classmethod
    def of(cls, path: str, **settings: Any) -> ListenerWorld:
        """The world where the retention latent is all `item`, all `user`, or the `state` of the day."""
        if path not in PATHS:
            raise InputError(f"world '{path}' is unknown; choose {', '.join(PATHS)}")
        return cls(**{f"share_{name}": float(name == path) for name in PATHS} | settings)

    def loadings(self, question: str) -> tuple[tuple[float, float], tuple[float, float]]:
        """Loadings of a question on Z and on Q, each as (practical, interest) content."""
        if question == "return":
            return (self.return_value, self.return_value), (self.return_quality, self.return_quality)
        if question == "worth":
            return self.worth_value, (0.0, 0.0)
        return self.interest_value, (self.interest_quality, self.interest_quality)


def by_cohort(pair: tuple[float, float], low: Bools) -> Floats:
    """(n,) the first number where `low` is false, the second where it is true."""
    return np.where(low, pair[1], pair[0]).astype(np.float64)


# Median 28-day events of (high-signal, low-signal) listeners: far enough apart that the lowest 30 % are the
# low-signal ones.
EVENTS = (60.0, 5.0)


def names(prefix: str, numbers: npt.ArrayLike) -> pa.Array:
    """(n,) strings prefix0, prefix17 ... of whole numbers."""
    texts = pa.array(np.asarray(numbers, dtype=np.int64)).cast(pa.string())
    return pc.binary_join_element_wise(prefix, texts, "")


def column(table: pa.Table, name: str) -> Floats:
    """A column as float64 (booleans as 0 and 1, null as NaN)."""
    values = table.column(name)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def draw_listeners(world: ListenerWorld, key: int | str) -> pa.Table:
    """One row a listener: what a log knows of them (events_28d, history, tenure_days) and the truth
    (true_base, true_trait).

    `history` is what a model sees of the listener's inclination to return: base + spread D, with noise.
    `number` (int64) is the listener's row. Same world and key, same listeners.
    """
    rng = generator(key, "listeners")
    n = world.listeners
    low = rng.random(n) < world.low_share
    inclination, trait = rng.normal(size=n), rng.normal(size=n)
    base = by_cohort(world.base, low) + by_cohort(world.spread, low) * inclination
    history = base + by_cohort(world.history_noise, low) * rng.normal(size=n)
    events = rng.poisson(by_cohort(EVENTS, low) * np.exp(0.4 * rng.normal(size=n) - 0.08))
    tenure = np.round(400 * np.exp(0.8 * rng.normal(size=n) + 0.3 * inclination)).astype(np.int64)
    return pa.table(
        {
            "user_id": names("simulated-", np.arange(n)),
            "number": np.arange(n),
            "low_signal": low,
            "events_28d": events,
            "history": history,
            "tenure_days": tenure,
            "true_inclination": inclination,
            "true_base": base,
            "true_trait": trait,
        }
    )


def item_quality(world: ListenerWorld, key: int | str) -> Floats:
    """(items,) the item's own part of I, unit variance: what a ranking can know and everybody shares."""
    return generator(key, "items").normal(size=world.items)


def retention_latent(
    world: ListenerWorld, quality: Floats, trait: Floats, state: Floats, rng: np.random.Generator
) -> Floats:
    """(n,) Q by pair: quality with the listener's affinity and noise, listener's trait, day's state."""
    weight, affinity, noise = (np.sqrt(part) for part in world.item_parts)
    item = weight * quality + affinity * rng.normal(size=len(quality)) + noise * rng.normal(size=len(quality))
    parts = ((world.share_item, item), (world.share_user, trait), (world.share_state, state))
    return np.asarray(sum(np.sqrt(share) * part for share, part in parts), dtype=np.float64)


def draw_pairs(world: ListenerWorld, listeners: pa.Table, key: int | str) -> pa.Table:
    """One row a listener and day: the item (uniform among `world.items`), what the log shows, and the truth.

    Columns: user_id, item_id, request_id, day, low_signal, events_28d, history, tenure_days, practical,
    sameday, like, save, reshare, true_value (Z), true_latent (Q), true_base, true_inclination, true_trait.
    Rows are sorted by listener, then day.
    """
    rng = generator(key, "pairs")
    who = np.repeat(np.arange(listeners.num_rows), world.days)
    n = len(who)
    item = rng.integers(0, world.items, size=n)
    seen = listeners.take(pa.array(who))
    state, value = rng.normal(size=n), rng.normal(size=n)
    latent = retention_latent(world, item_quality(world, key)[item], column(seen, "true_trait"), state, rng)
    seen = seen.drop_columns(["number"])
    columns = {
        "item_id": names("item-", item),
        "request_id": names("request-", np.arange(n)),
        "day": np.tile(np.arange(world.days), listeners.num_rows),
        "practical": rng.random(n) < world.practical_share,
        "sameday": rng.normal(size=n),
        **events(world, value, rng),
        "true_value": value,
        "true_latent": latent,
    }
    for name, values in columns.items():
        seen = seen.append_column(name, pa.array(values) if isinstance(values, np.ndarray) else values)
    return seen


def events(world: ListenerWorld, value: Floats, rng: np.random.Generator) -> dict[str, npt.NDArray[np.int8]]:
    """like, save and reshare (n,) 0 or 1, each by its logit in the shared value Z (n,)."""
    settings = {"like": world.like, "save": world.save, "reshare": world.reshare}
    return {
        name: (rng.random(len(value)) < expit(a + b * value)).astype(np.int8)
        for name, (a, b) in settings.items()
    }


def draw_slates(pairs: pa.Table, items: int) -> pa.Table:
    """The explored slates of `pairs`: one slot, propensity 1/items, as `schema.SLATES` has them."""
    n = pairs.num_rows
    return pa.table(
        {
            "request_id": pairs["request_id"],
            "user_id": pairs["user_id"],
            "timestamp": pa.array(
                column(pairs, "day").astype(np.int64) * 86_400_000_000, pa.timestamp("us", tz="UTC")
            ),
            "position": np.zeros(n, dtype=np.int32),
            "item_id": pairs["item_id"],
            "propensity": np.full(n, 1.0 / items),
            "policy_id": pa.array(["uniform"] * n),
        }
    )


def return_logit(
    world: ListenerWorld, base: Floats, latent: Floats, sameday: Floats, low: Floats, asked: Floats
) -> Floats:
    """(n,) logit of return: base + effect Q + sameday S + asked_effect asked; `low`, `asked`: 0 or 1."""
    cohort = low > 0
    moved = by_cohort(world.effect, cohort) * latent + by_cohort(world.sameday, cohort) * sameday
    return base + moved + world.asked_effect * asked


def returns(world: ListenerWorld, pairs: pa.Table, key: int | str) -> pa.Table:
    """`pairs` with returned (0 or 1), next_day_views (0 unless returned) and true_return (the probability).

    Where `pairs` says who was `asked`, being asked moves the logit by `world.asked_effect`.
    """
    rng = generator(key, "returns")
    asked = column(pairs, "asked") if "asked" in pairs.column_names else np.zeros(pairs.num_rows)
    base, latent, sameday, low = (
        column(pairs, name) for name in ("true_base", "true_latent", "sameday", "low_signal")
    )
    probability = expit(return_logit(world, base, latent, sameday, low, asked))
    returned = rng.random(pairs.num_rows) < probability
    views = np.where(returned, 1 + rng.poisson(np.exp(2.5 + 0.4 * column(pairs, "sameday"))), 0)
    columns = {"returned": returned.astype(np.int8), "next_day_views": views, "true_return": probability}
    for name, values in columns.items():
        pairs = pairs.append_column(name, pa.array(values))
    return pairs


RANKER_FEATURES = ("base_score", "p_like", "p_skip", "item_rate", "user_rate", "practical", "low_signal")


def ranker_features(world: ListenerWorld, pairs: pa.Table, key: int | str) -> pa.Table:
    """`pairs` with base_score (.8 Z + .6 noise), p_like and p_skip (predicted probabilities, from Z seen with
    noise of its own), item_rate and user_rate (standing of the item's own quality and of the listener's
    trait, as their past shows it, with noise).

    `key` is that of `draw_pairs`. Where retention is not the item's (or user's) the rate is noise.
    """
    rng = generator(key, "ranker")
    n = pairs.num_rows
    value = column(pairs, "true_value")
    seen = 0.85 * value + 0.5 * rng.normal(size=n)
    items = np.array([int(item.rpartition("-")[2]) for item in pairs["item_id"].to_pylist()])
    quality = item_quality(world, key) + 0.5 * generator(key, "item rates").normal(size=world.items)
    users = np.unique(np.asarray(pairs["user_id"].to_pylist(), dtype=np.str_), return_inverse=True)[1]
    past = rng.normal(size=int(users.max()) + 1)
    columns = {
        "base_score": 0.8 * value + 0.6 * rng.normal(size=n),
        "p_like": expit(world.like[0] + world.like[1] * seen),
        "p_skip": expit(-0.5 - 1.2 * seen),
        "item_rate": np.sqrt(world.share_item) * quality[items],
        "user_rate": np.sqrt(world.share_user) * column(pairs, "true_trait") + 0.7 * past[users],
    }
    for name, values in columns.items():
        pairs = pairs.append_column(name, pa.array(values))
    return pairs


DAY = 86_400_000_000
ANSWER_HOUR = 12 * 3_600_000_000


def cuts(world: ListenerWorld) -> Floats:
    """(4,) thresholds of a standard normal that give the answer shares of the world."""
    return np.asarray(ndtri(np.cumsum(world.answer_shares)[:-1]), dtype=np.float64)


def ask(world: ListenerWorld, pairs: pa.Table, key: int | str) -> pa.Table:
    """`pairs` with asked (bool), asked_probability, answered (bool), and return, worth, interest (int 1 to 5,
    null if no answer).

    All three questions are asked of the same pair, so that they can be correlated. A listener's style shifts
    and stretches all of their answers alike; the cuts follow the population's scale, so the answer shares
    hold on average.
    """
    rng = generator(key, "ask")
    n = pairs.num_rows
    asked = rng.random(n) < world.ask_rate
    answered = asked & (rng.random(n) < _answer_probability(world, pairs))
    shift, stretch = _styles(world, pairs, key)
    value, latent = column(pairs, "true_value"), column(pairs, "true_latent")
    interest = (column(pairs, "practical") == 0).astype(np.int64)
    out = pairs.append_column("asked", pa.array(asked)).append_column(
        "asked_probability", pa.array(np.full(n, world.ask_rate))
    )
    out = out.append_column("answered", pa.array(answered))
    scale = np.sqrt(np.exp(2 * world.style_stretch**2) + world.style_shift**2)
    for question in QUESTIONS:
        on_value, on_latent = (np.asarray(loading)[interest] for loading in world.loadings(question))
        error = np.sqrt(np.maximum(0.0, 1 - on_value**2 - on_latent**2))
        feeling = on_value * value + on_latent * latent + error * rng.normal(size=n)
        answer = 1 + np.searchsorted(cuts(world), (stretch * feeling + shift) / scale)
        out = out.append_column(question, pa.array(answer.astype(np.int8), mask=~answered))
    return out


def survey_table(asked: pa.Table) -> pa.Table:
    """The asked rows as a survey log: user_id, item_id, question, asked_probability, answer (null = shown,
    not answered), timestamp (UTC microseconds, noon of the day), request_id.
    """
    rows = asked.filter(asked["asked"])
    time = column(rows, "day").astype(np.int64) * DAY + ANSWER_HOUR
    return pa.table(
        {
            "user_id": rows["user_id"],
            "item_id": rows["item_id"],
            "question": pa.array(["return"] * rows.num_rows, pa.string()),
            "asked_probability": rows["asked_probability"],
            "answer": rows["return"].cast(pa.float64()),
            "timestamp": pa.array(time, pa.timestamp("us", tz="UTC")),
            "request_id": rows["request_id"],
        }
    )


def _answer_probability(world: ListenerWorld, pairs: pa.Table) -> Floats:
    if world.answer_rate == 1:
        return np.ones(pairs.num_rows)
    activity = np.log1p(column(pairs, "events_28d"))
    lean = world.answer_by_activity * (activity - activity.mean())
    lean += world.answer_by_base * column(pairs, "true_inclination")
    return np.asarray(expit(logit(world.answer_rate) + lean), dtype=np.float64)


def _styles(world: ListenerWorld, pairs: pa.Table, key: int | str) -> tuple[Floats, Floats]:
    """Shift and stretch (n,) of each row's listener; zeros and ones when the world has no styles."""
    if world.style_shift == 0 and world.style_stretch == 0:
        return np.zeros(pairs.num_rows), np.ones(pairs.num_rows)
    codes = pairs["user_id"].combine_chunks().dictionary_encode()
    who = codes.indices.to_numpy(zero_copy_only=False)
    draws = generator(key, "styles").normal(size=(len(codes.dictionary), 2))
    return world.style_shift * draws[who, 0], np.exp(world.style_stretch * draws[who, 1])
