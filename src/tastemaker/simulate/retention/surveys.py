"""Who is asked, who answers, and what: five-point answers to three questions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.special import expit, logit
from scipy.stats import norm

from tastemaker.simulate.retention.draws import column
from tastemaker.simulate.retention.world import QUESTIONS, Floats, ListenerWorld
from tastemaker.stats.random import generator

DAY = 86_400_000_000
ANSWER_HOUR = 12 * 3_600_000_000


def cuts(world: ListenerWorld) -> Floats:
    """(4,) thresholds of a standard normal that give the answer shares of the world."""
    return np.asarray(norm.ppf(np.cumsum(world.answer_shares)[:-1]), dtype=np.float64)


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


def survey_table(asked: pa.Table, question: str = "return") -> pa.Table:
    """The asked rows as a survey log: user_id, item_id, question, asked_probability, answer (null = shown,
    not answered), timestamp (UTC microseconds, noon of the day), request_id.
    """
    rows = asked.filter(asked["asked"])
    time = column(rows, "day").astype(np.int64) * DAY + ANSWER_HOUR
    return pa.table(
        {
            "user_id": rows["user_id"],
            "item_id": rows["item_id"],
            "question": pa.array([question] * rows.num_rows, pa.string()),
            "asked_probability": rows["asked_probability"],
            "answer": rows[question].cast(pa.float64()),
            "timestamp": pa.array(time, pa.timestamp("us", tz="UTC")),
            "request_id": rows["request_id"],
        }
    )


def _answer_probability(world: ListenerWorld, pairs: pa.Table) -> Floats:
    if world.answer_rate == 1:
        return np.ones(pairs.num_rows)
    activity = np.log1p(column(pairs, "events_28d"))
    lean = world.answer_by_activity * (activity - activity.mean()) + world.answer_by_base * column(
        pairs, "true_inclination"
    )
    return np.asarray(expit(logit(world.answer_rate) + lean), dtype=np.float64)


def _styles(world: ListenerWorld, pairs: pa.Table, key: int | str) -> tuple[Floats, Floats]:
    """Shift and stretch (n,) of each row's listener; zeros and ones when the world has no styles."""
    if world.style_shift == 0 and world.style_stretch == 0:
        return np.zeros(pairs.num_rows), np.ones(pairs.num_rows)
    codes = pairs["user_id"].combine_chunks().dictionary_encode()
    who = codes.indices.to_numpy(zero_copy_only=False)
    draws = generator(key, "styles").normal(size=(len(codes.dictionary), 2))
    return world.style_shift * draws[who, 0], np.exp(world.style_stretch * draws[who, 1])
