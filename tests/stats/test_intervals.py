"""Bootstrap intervals: coverage by simulation with known truth, pairing, memory, and the two ways of
resampling.
"""

import tracemalloc

import numpy as np
import pytest

from tastemaker.errors import InputError
from tastemaker.stats import Interval, bootstrap, generator, paired_bootstrap


def _tolerance(runs: int, level: float) -> float:
    """Four standard errors of a simulated coverage, and what a percentile interval of 300 users may honestly
    be off.
    """
    return 4 * (level * (1 - level) / runs) ** 0.5 + 0.01


@pytest.mark.parametrize("kind", ["recall", "smooth"])
def test_coverage_of_the_interval(kind: str) -> None:
    runs, level = 600, 0.9
    rng = generator(7, kind)
    truth, draw = {
        "recall": (0.2, lambda: (rng.random(300) < 0.2).astype(float)),
        "smooth": (1.0, lambda: rng.gamma(2.0, 0.5, 300)),
    }[kind]
    inside = [not bootstrap(draw(), run, resamples=400, level=level).excludes(truth) for run in range(runs)]
    assert np.mean(inside) == pytest.approx(level, abs=_tolerance(runs, level))


def test_false_alarms_of_the_paired_difference() -> None:
    runs, rng, alarms = 600, generator(8), 0
    for run in range(runs):
        hard = rng.random(300)
        a, b = ((rng.random(300) < hard).astype(float) for _ in range(2))
        alarms += paired_bootstrap(a, b, run, resamples=400).excludes(0)
    assert alarms / runs == pytest.approx(0.05, abs=_tolerance(runs, 0.95))


def test_pairing_narrows_the_interval_and_keeps_the_value() -> None:
    rng = generator(1)
    easy = rng.normal(size=2_000)
    a, b = easy + 0.02 + 0.1 * rng.normal(size=2_000), easy
    paired = paired_bootstrap(a, b, 0)
    alone = bootstrap(a, 0)
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert paired.excludes(0) and paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_both_ways_of_resampling_agree() -> None:
    coarse = (generator(2).random(4_000) < 0.1).astype(float)
    # A jitter far below the interval's width makes every value distinct, which takes the other way.
    fine = coarse + 1e-9 * generator(3).random(4_000)
    item, other = bootstrap(coarse, 0, resamples=4_000), bootstrap(fine, 0, resamples=4_000)
    width = item.high - item.low
    assert abs(item.low - other.low) < 0.08 * width and abs(item.high - other.high) < 0.08 * width
    # and both agree with theory: 1.96 standard errors to each side
    assert width == pytest.approx(2 * 1.96 * coarse.std() / 4_000**0.5, rel=0.08)


def test_same_key_same_interval() -> None:
    values = generator(4).random(50)
    assert bootstrap(values, 1) == bootstrap(values, 1) != bootstrap(values, 2)


def test_memory_is_flat_in_the_number_of_resamples() -> None:
    values = generator(5).random(20_000)
    tracemalloc.start()
    bootstrap(values, 0, resamples=400)  # 8 million draws: 64 MB a copy if held at once
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap([1.0, np.nan], 0), "row 2"),
        (lambda: Interval(0.0, 1.0, 0.0, 1), "low <= high"),
    ],
)
def test_bad_input_is_refused_in_words(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
