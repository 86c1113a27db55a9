"""Non-response weights: exact balance, its oracle, what separates, and what the weights cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tastemaker.errors import InputError
from tastemaker.retention.weights.claim import rake, raked_mean, weights_claim
from tastemaker.retention.weights.design import far_values
from tastemaker.retention.weights.weigh import asked_of_shown, response_weights, stages_table


def survey(
    x: npt.ArrayLike,
    answered: npt.ArrayLike,
    asked: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
) -> pa.Table:
    x, answered = np.asarray(x, dtype=float), np.asarray(answered, dtype=bool)
    n = len(x)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    answers = np.full(n, 3.0) if y is None else np.asarray(y, dtype=float)
    return pa.table(
        columns
        | {
            "user_id": [f"u{i}" for i in range(n)],
            "asked_probability": np.full(n, 0.5) if asked is None else np.asarray(asked, dtype=float),
            "answer": pa.array(answers, mask=~answered),
        }
    )


def names(p: int) -> list[str]:
    return [f"x{j}" for j in range(p)]


def drawn(
    n: int, p: int, seed: int, strength: float = 0.7
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    slope = strength * rng.choice([-1.0, 1.0], size=p) / np.sqrt(np.arange(1, p + 1))
    return x, rng.random(n) < 1 / (1 + np.exp(-(x @ slope)))


def test_balance_is_exact_in_a_few_steps_and_removes_the_bias() -> None:
    x, answered = drawn(20_000, 6, 1)
    rng = np.random.default_rng(2)
    slope = np.linalg.lstsq(x, answered - 0.5, rcond=None)[0]
    y = 3 + 0.9 * (x @ slope) / np.linalg.norm(slope) + rng.normal(size=len(x))
    weighting = response_weights(survey(x, answered, y=y), names(6))
    assert weighting.steps <= 7
    assert weighting.worst(when="before") > 0.25
    assert weighting.worst() < 1e-8
    before, after = y[answered].mean() - y.mean(), (weighting.weight @ y) / weighting.weight.sum() - y.mean()
    assert before > 0.3
    # After weighting what is left is noise: SD of y over the root of the effective sample size, four times.
    assert abs(after) < 4 * y.std() / np.sqrt(weighting.ess)


def test_the_oracle_finds_the_same_minimum() -> None:
    x, answered = drawn(400, 3, 3)
    d = 1 / np.random.default_rng(4).uniform(0.2, 1.0, size=400)
    z = np.column_stack([np.ones(400), x])

    def objective(b: npt.NDArray[np.float64]) -> float:
        return float(d @ (answered * np.exp(-z @ b) + ~answered * (z @ b)))

    slow = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-7})
    weighting = response_weights(survey(x, answered, asked=1 / d), names(3))
    assert list(weighting.coefficients.values()) == pytest.approx(slow.x, abs=1e-5)
    assert weighting.weight == pytest.approx(np.where(answered, d / weighting.probability, 0.0))


@given(seed=st.integers(0, 10_000), n=st.integers(30, 300), p=st.integers(1, 4), strength=st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_balanced_or_refused(seed: int, n: int, p: int, strength: float) -> None:
    x, answered = drawn(n, p, seed, strength)
    if not answered.any():
        return
    try:
        weighting = response_weights(survey(x, answered), names(p))
    except InputError as error:
        assert "separate" in str(error)
        return
    d = np.full(n, 2.0)
    moments = np.column_stack([np.ones(n), x])
    gap = weighting.weight @ moments - d @ moments
    assert np.abs(gap).max() < 1e-7 * n
    assert (weighting.weight[answered] >= d[answered] * (1 - 1e-12)).all()
    assert (weighting.weight[~answered] == 0).all()
    assert weighting.ess == pytest.approx(weighting.weight.sum() ** 2 / (weighting.weight**2).sum())
    assert weighting.deff == pytest.approx(weighting.answered / weighting.ess)


def test_units_of_a_covariate_do_not_matter() -> None:
    x, answered = drawn(500, 2, 5)
    weighting = response_weights(survey(x, answered), names(2))
    other = response_weights(survey(x * [1e6, 1e-3] + [5e6, -2], answered), names(2))
    assert other.weight == pytest.approx(weighting.weight, rel=1e-6)


@pytest.mark.parametrize("case", ["perfect", "one side", "hull", "category"])
def test_separation_is_refused_and_the_covariate_named(case: str) -> None:
    x, answered = drawn(400, 2, 6)
    rng = np.random.default_rng(7)
    third = {
        "perfect": answered.astype(float),
        "one side": (answered & (rng.random(400) < 0.3)).astype(float),
        # No single column separates; the sum of both does.
        "hull": rng.normal(size=400) + np.where(answered, 0.0, 20.0),
        "category": rng.normal(size=400),
    }[case]
    data = survey(np.column_stack([x, third]), answered)
    covariates = names(3)
    if case == "category":
        data = data.append_column(
            "country", pa.array(np.where(answered, "GB", rng.choice(["GB", "SE"], 400)))
        )
        covariates = [*names(2), "country"]
    with pytest.raises(InputError, match=r"covariate 'country=SE'|covariate 'x2(=0)?'"):
        response_weights(data, covariates)


def test_a_direction_that_separates_is_named_by_its_columns() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 3))
    answered = x[:, 0] + x[:, 1] > 0
    with pytest.raises(InputError, match=r"covariates 'x[01]', 'x[01]' separate who answered"):
        response_weights(survey(x, answered), names(3))


def test_weights_that_exist_only_at_infinity_are_refused() -> None:
    """Those who did not answer lie on the edge of the hull: balance is approached as the others' weights fall
    to d, never met.
    """
    rng = np.random.default_rng(16)
    x = rng.normal(size=(800, 3))
    answered = rng.random(800) < 0.7
    lifted = np.where(answered & (rng.random(800) < 0.4), rng.exponential(size=800), 0.0)
    x[:, 2] = x[:, 0] + x[:, 1] + lifted
    with pytest.raises(InputError, match="separate who answered"):
        response_weights(survey(x, answered), names(3))


def test_nobody_and_everybody() -> None:
    x, _ = drawn(50, 2, 9)
    with pytest.raises(InputError, match=r"nobody answered \('answer' is empty in all 50 rows\)"):
        response_weights(survey(x, np.zeros(50)), names(2))
    with pytest.raises(InputError, match="has no row"):
        response_weights(survey(x, np.ones(50)).slice(0, 0), names(2))
    weighting = response_weights(survey(x, np.ones(50)), names(2))
    assert (weighting.weight == 2.0).all() and weighting.deff == 1.0 and weighting.response_rate == 1.0


def test_constant_and_redundant_columns_are_dropped_and_said() -> None:
    x, answered = drawn(300, 2, 10)
    wide = np.column_stack([x, np.full(300, 7.0), 2 * x[:, 0] - x[:, 1] + 1])
    weighting = response_weights(survey(wide, answered), names(4))
    assert weighting.dropped == ("x2", "x3")
    assert weighting.weight == pytest.approx(response_weights(survey(x, answered), names(2)).weight)
    with pytest.raises(InputError, match="every covariate is constant"):
        response_weights(survey(np.ones((9, 1)), np.arange(9) % 2), ["x0"])


def test_text_and_switches_become_indicators() -> None:
    x, answered = drawn(600, 1, 11)
    rng = np.random.default_rng(12)
    country, flag = rng.choice(["GB", "SE", "IE"], 600, p=[0.5, 0.3, 0.2]), rng.random(600) < 0.4
    data = (
        survey(x, answered).append_column("country", pa.array(country)).append_column("flag", pa.array(flag))
    )
    weighting = response_weights(data, ["country", "flag"])
    assert set(weighting.coefficients) == {"(intercept)", "country=SE", "country=IE", "flag=true"}
    for value in ("SE", "IE", "GB"):
        assert weighting.weight[country == value].sum() == pytest.approx(2.0 * (country == value).sum())
    kinds = {(row["covariate"], row["kind"]) for row in weighting.balance.to_pylist()}
    assert ("country=SE × country=IE", "product") not in kinds and ("flag=true²", "square") not in kinds
    towns = data.append_column("town", pa.array([f"t{row % 51}" for row in range(len(data))]))
    with pytest.raises(InputError, match="column 'town' has 51 categories, more than 50"):
        response_weights(towns, ["town"])


def test_squares_and_products_of_the_balance_table() -> None:
    x, answered = drawn(800, 2, 13)
    weighting = response_weights(survey(x, answered), names(2))
    rows = {row["covariate"]: row for row in weighting.balance.to_pylist()}
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for name, moment in (("x0²", z[:, 0] ** 2), ("x0 × x1", z[:, 0] * z[:, 1])):
        after = (weighting.weight @ moment / weighting.weight.sum() - moment.mean()) / moment.std()
        assert rows[name]["smd_after"] == pytest.approx(after)
        assert rows[name]["smd_before"] == pytest.approx(
            (moment[answered].mean() - moment.mean()) / moment.std()
        )
    assert weighting.worst("product") == pytest.approx(abs(rows["x0 × x1"]["smd_after"]))


def test_trimming_caps_the_weights_and_keeps_their_sum() -> None:
    x, answered = drawn(2_000, 2, 14, strength=1.5)
    free, cut = (response_weights(survey(x, answered), names(2), trim=trim) for trim in (None, 3.0))
    assert cut.trimmed > 0 and cut.largest < free.largest and cut.deff < free.deff
    assert cut.weight.sum() == pytest.approx(free.weight.sum())
    assert cut.worst() > 1e-3  # and that the balance is no longer exact is shown
    with pytest.raises(InputError, match="trim is 1"):
        response_weights(survey(x, answered), names(2), trim=1.0)


@pytest.mark.parametrize(
    ("covariates", "words"),
    [
        ([], "give at least one covariate"),
        (["x0", "x0"], "covariate 'x0' is given twice"),
        (["age"], "column 'age' is missing; the table has x0"),
        (["x1"], "row 3, column 'x1' is 'nan'"),
        (["x2"], "row 2, column 'x2' is 'inf'"),
    ],
)
def test_bad_covariates_are_named(covariates: Sequence[str], words: str) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[2, 1], x[1, 2] = np.nan, np.inf
    with pytest.raises(InputError, match=words):
        response_weights(survey(x, np.arange(20) % 2), covariates)


@pytest.mark.parametrize("bad", [0.0, -0.5, 1.5, np.nan])
def test_bad_probabilities_are_named(bad: float) -> None:
    x, answered = drawn(20, 1, 15)
    asked = np.full(20, 0.5)
    asked[4] = bad
    with pytest.raises(InputError, match="row 5, column 'asked_probability'"):
        response_weights(survey(x, answered, asked=asked), ["x0"])


def people(n: int = 800, seed: int = 4) -> pa.Table:
    """A survey with a text covariate and a number, of which the young answer less and like more."""
    rng = np.random.default_rng(seed)
    young, country = rng.random(n) < 0.5, rng.choice(["de", "fr", "se"], n, p=[0.5, 0.3, 0.2])
    answered = rng.random(n) < np.where(young, 0.3, 0.8)
    answer = np.clip(np.round(np.where(young, 4.2, 2.6) + rng.normal(size=n)), 1, 5)
    table = survey(rng.normal(size=(n, 1)), answered, y=answer)
    return table.append_column("country", pa.array(country)).append_column(
        "age", pa.array(np.where(young, "young", "old"))
    )


def margins(**shares: dict[str, float]) -> pa.Table:
    cells = [(name, value, share) for name, values in shares.items() for value, share in values.items()]
    return pa.table(
        {
            name: list(column)
            for name, column in zip(("covariate", "value", "share"), zip(*cells, strict=True), strict=True)
        }
    )


def test_raking_meets_the_margins_and_moves_the_mean() -> None:
    shown = people()
    weight = response_weights(shown, ["age"]).weight
    raked = rake(
        shown, weight, margins(age={"young": 0.2, "old": 0.8}, country={"de": 20, "fr": 40, "se": 40})
    )
    assert raked.weight.sum() == pytest.approx(weight.sum()) and (raked.weight[weight == 0] == 0).all()
    assert [row[4] for row in raked.rows] == pytest.approx([0.2, 0.8, 0.2, 0.4, 0.4], abs=1e-9)
    mean = raked_mean(shown, raked)
    assert mean.low < 0.2 * 4.1 + 0.8 * 2.6 < mean.high  # clipping takes about .1 off the young
    _, claim = weights_claim(shown, ["age"], margins=margins(age={"young": 0.2, "old": 0.8}))
    assert claim.tables[2].rows[-1][0] == "raked to the margins"
    assert any(table.title == "Margins of the population" for table in claim.tables)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"age": {"young": 0.2, "old": 0.7}}, "the shares of 'age' sum to 0.9"),
        ({"age": {"old": 1.0}}, "'age=young' of surveys has no share"),
        ({"age": {"young": 0.2, "old": 0.7, "dead": 0.1}}, "'age=dead': nobody answered"),
        ({"age": {"young": 0.0, "old": 1.0}}, "'age=young': there are answers where its share is 0"),
        ({"height": {"tall": 1.0}}, "column 'height' is missing"),
    ],
)
def test_margins_that_cannot_be_met_are_named(given: dict[str, dict[str, float]], words: str) -> None:
    shown = people(100)
    with pytest.raises(InputError, match=words):
        rake(shown, response_weights(shown, ["x0"]).weight, margins(**given))


def test_who_plays_is_taken_back_in_two_steps() -> None:
    """People play what stands high and answer well of it: the mean of the asked is not that of the shown."""
    rng = np.random.default_rng(9)
    n = 40_000
    x = rng.normal(size=n)
    asked = rng.random(n) < 0.5 / (1 + np.exp(-(x - 1)))
    answered = asked & (rng.random(n) < 1 / (1 + np.exp(-x)))
    y = np.clip(np.round(3 + 0.8 * x + 0.5 * rng.normal(size=n)), 1, 5)
    shown = survey(x[:, None], answered, y=y).append_column("asked", pa.array(asked.astype(float)))
    shown = shown.append_column("played", pa.array(np.ones(n)))
    rows = asked_of_shown(shown, ["x0"])
    weights = response_weights(rows, ["x0"])
    values = np.nan_to_num(rows["answer"].to_numpy(zero_copy_only=False))
    mean = float(weights.weight @ values / weights.weight.sum())
    assert abs(mean - y.mean()) < 0.05 < 0.4 < y[answered].mean() - y.mean()
    stages = {row[0]: row[1:] for row in stages_table(shown, ["x0"]).rows}
    assert stages["shown"][0] == n and stages["answered"][0] == answered.sum() and stages["asked"][2] > 0.3


def test_a_few_fractions_below_0_are_no_slips_and_days_no_ages() -> None:
    normal = np.random.default_rng(0).normal(size=800)
    columns = {"score": normal + 2.5, "age_centred": normal, "account_age": np.round(200 + 50 * normal)}
    table = pa.table(columns)
    assert 0 < (columns["score"] < 0).sum() < 16 and far_values(table, list(columns), "table") == []


def test_odd_cells_are_named_and_rare_values_pooled() -> None:
    shown = people()
    ages = np.random.default_rng(0).integers(18, 75, 800).astype(float)
    _, fine = weights_claim(shown.append_column("years", pa.array(ages)), ["years", "age"])
    assert fine.verdict == "supported"
    for cell in (999.0, -1.0, 99.0, 5000.0):
        odd = ages.copy()
        odd[3] = cell
        _, claim = weights_claim(shown.append_column("years", pa.array(odd)), ["years", "age"])
        words = "is below 0 in 1 of 800 rows" if cell == -1 else f"has {cell:g} far from its other values"
        named = f"'years' {words}" in claim.because
        assert named == (cell != 99.0) and (claim.verdict == "cannot tell") == named
    country = shown["country"].to_pylist()
    spelt = shown.set_column(shown.column_names.index("country"), "country", pa.array(["DE", *country[1:]]))
    with pytest.raises(InputError, match="two spellings of one value"):
        weights_claim(spelt, ["country"])
    rare = ["xa" if i < 30 else "xb" if i < 55 else "xc" if i < 60 else c for i, c in enumerate(country)]
    answers = shown["answer"].to_pylist()
    few = shown.set_column(shown.column_names.index("country"), "country", pa.array(rare))
    sparse = [
        None if r.startswith("x") and i % 5 else a for i, (r, a) in enumerate(zip(rare, answers, strict=True))
    ]
    few = few.set_column(
        few.column_names.index("answer"),
        "answer",
        pa.array([4.0 if i % 5 == 0 and i < 60 else a for i, a in enumerate(sparse)]),
    )
    weights, claim = weights_claim(few, ["country"])
    assert any("other (xa, xb, xc)" in text for text in claim.assumptions) and not weights.thin
    assert "country=other (xa, xb, xc)" in weights.coefficients
