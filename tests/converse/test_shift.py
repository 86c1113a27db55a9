"""The label test: exact where labels are independent, its level kept where they are not, a planted shift
caught.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency, hypergeom

from tastemaker.converse.audits.pool import label_shift
from tastemaker.errors import InputError

LABELS = ("accepted", "rejected")


def _groups(rng: np.random.Generator, groups: int, spread: float) -> np.ndarray:
    """(G, 2) eight labels a group; `spread` is how much groups differ."""
    share = np.clip(0.6 + spread * rng.standard_normal(groups), 0.05, 0.95)
    accepted = rng.binomial(8, share)
    return np.stack([accepted, 8 - accepted], axis=1)


def test_equals_the_exact_test_where_every_group_has_one_label() -> None:
    """The number of accepted labels among the asked is then hypergeometric (Fisher), so the p-value is a
    sum.
    """
    rng, draws = np.random.default_rng(0), 4000
    for _ in range(5):
        accepted, test = rng.random(400) < 0.6, rng.random(400) < 0.3
        shift = label_shift(np.stack([accepted, ~accepted], axis=1), test, LABELS, draws=draws)
        asked, total, n = int(accepted[test].sum()), int(accepted.sum()), int(test.sum())
        usual = chi2_contingency(
            [[total - asked, 400 - n - total + asked], [asked, n - asked]], correction=False
        )
        assert shift.statistic == pytest.approx(usual.statistic)
        places = np.arange(max(0, n + total - 400), min(n, total) + 1)
        as_far = np.abs(places - n * total / 400) >= abs(asked - n * total / 400) - 1e-9
        exact = hypergeom(400, total, n).pmf(places)[as_far].sum()
        assert shift.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / draws) + 1 / draws)


def test_keeps_its_level_where_users_differ_and_the_usual_test_does_not() -> None:
    rng, runs, caught, usual = np.random.default_rng(1), 200, 0, 0
    for run in range(runs):
        counts, test = _groups(rng, 120, 0.3), np.arange(120) < 30
        caught += label_shift(counts, test, LABELS, seed=run, draws=99).p <= 0.05
        usual += (
            chi2_contingency([counts[~test].sum(axis=0), counts[test].sum(axis=0)], correction=False).pvalue
            <= 0.05
        )
    assert caught <= binom.ppf(0.999, runs, 0.05)
    assert usual > binom.ppf(0.999, runs, 0.05)


def test_the_published_shift_is_caught() -> None:
    """Train 44 % helpful, 43 % not, the rest null; test 77 % and 10 % (section 3.1 of the design)."""
    rng = np.random.default_rng(2)
    test = np.arange(150) < 30
    counts = np.array(
        [rng.multinomial(8, (0.77, 0.10, 0.13) if asked else (0.44, 0.43, 0.13)) for asked in test]
    )
    shift = label_shift(counts, test, ("helpful", "not", "null"))
    assert not shift.ok and shift.p == pytest.approx(1 / 2000)
    assert shift.test[0] > shift.train[0] + 0.2


def test_never_used_labels_and_empty_parts() -> None:
    counts = np.array([[3, 5, 0], [4, 4, 0], [2, 6, 0]])
    assert label_shift(counts, [True, False, False], ("a", "b", "c")).ok
    with pytest.raises(InputError, match="labels in both parts"):
        label_shift(counts, [False] * 3, ("a", "b", "c"))
