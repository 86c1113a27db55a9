"""The proxy: the ordinal fit against statsmodels, calibration in the world by cohort, what is kept of it, bad
input.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import binom

from tastemaker.errors import ArtifactError, InputError
from tastemaker.retention.proxy.claim import calibration_claim, threshold_claim
from tastemaker.retention.proxy.judge import (
    Judged,
    calibrate_proxy,
    calibration,
    changes,
    choose_thresholds,
    judge,
    skill,
)
from tastemaker.retention.proxy.model import (
    FAR,
    Proxy,
    ProxySettings,
    fit_ordinal,
    fit_proxy,
    from_parts,
    predict,
    predict_arrays,
    rows_of,
    slope_intervals,
    to_parts,
    user_parts,
)
from tastemaker.simulate.retention import (
    PATHS,
    RANKER_FEATURES,
    ListenerWorld,
    ask,
    draw_listeners,
    draw_pairs,
    ranker_features,
)

CUTS = np.array([-1.5, -0.5, 0.4, 1.6])


def sample(n: int = 3_000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, 1 + np.searchsorted(CUTS, x @ [0.8, -0.5, 0.3, 0.0] + rng.logistic(size=n))


def table(n: int = 2_000) -> pa.Table:
    x, answer = sample(n)
    columns = {f"f{i}": x[:, i] for i in range(4)} | {
        "return": answer.astype(float),
        "user_id": [f"u{i // 2}" for i in range(n)],
    }
    return pa.table(columns)


FEATURES = ("f0", "f1", "f2", "f3")


def test_the_ordinal_fit_agrees_with_statsmodels() -> None:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    x, answer = sample()
    b, theta = fit_ordinal(x, answer, np.ones(len(x)), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = OrderedModel(answer, x, distr="logit").fit(method="bfgs", disp=0, gtol=1e-8)
    assert b == pytest.approx(model.params[:4], abs=1e-4)
    assert theta == pytest.approx(model.model.transform_threshold_params(model.params)[1:-1], abs=1e-4)


def test_weights_count_as_copies_and_the_penalty_shrinks() -> None:
    x, answer = sample(600)
    weight = np.random.default_rng(1).integers(1, 4, 600)
    once = fit_ordinal(x, answer, weight.astype(float), 0.0)
    copies = fit_ordinal(np.repeat(x, weight, axis=0), np.repeat(answer, weight), np.ones(weight.sum()), 0.0)
    assert np.concatenate(once) == pytest.approx(np.concatenate(copies), abs=1e-5)
    assert np.abs(fit_ordinal(x, answer, np.ones(600), 1.0)[0]).sum() < 0.5 * np.abs(once[0]).sum()


def test_the_ordinal_fit_is_where_the_likelihood_is_flat() -> None:
    x, answer = sample(400)
    b, theta = fit_ordinal(x, answer, np.ones(400), 0.1)

    def loss(parameters: np.ndarray) -> float:
        edges = np.concatenate([[-np.inf], parameters[4:], [np.inf]])
        z = x @ parameters[:4]
        chance = 1 / (1 + np.exp(-(edges[answer] - z))) - 1 / (1 + np.exp(-(edges[answer - 1] - z)))
        return float(-np.log(chance).mean() + 0.05 * parameters[:4] @ parameters[:4])

    assert np.abs(approx_fprime(np.concatenate([b, theta]), loss, 1e-7)).max() < 1e-5


def test_two_answers_are_a_logistic_regression_and_the_others_have_no_chance() -> None:
    from sklearn.linear_model import LogisticRegression

    x, answer = sample(800)
    good = answer >= 4
    b, theta = fit_ordinal(x, np.where(good, 4, 2), np.ones(800), 0.01)
    model = LogisticRegression(C=1 / (0.01 * 800), tol=1e-10).fit(x, good)
    assert b == pytest.approx(model.coef_[0], abs=1e-4)
    assert theta[1:3] == pytest.approx(-float(model.intercept_[0]), abs=1e-4)
    assert theta[0] == -FAR and theta[3] == FAR


def test_scores_are_probabilities() -> None:
    rows = table()
    proxy = fit_proxy(rows, ProxySettings(FEATURES))
    p_pos, p_neg = predict(proxy, rows)
    assert (p_pos > 0).all() and (p_neg > 0).all() and (p_pos + p_neg < 1).all()
    answer = rows["return"].to_numpy()
    assert p_pos.mean() == pytest.approx((answer >= 4).mean(), abs=0.02)
    assert p_neg.mean() == pytest.approx((answer <= 2).mean(), abs=0.02)
    again = predict_arrays(proxy, np.column_stack([rows[name].to_numpy() for name in FEATURES]))
    assert again[0] == pytest.approx(p_pos, abs=1e-12) and again[1] == pytest.approx(p_neg, abs=1e-12)
    assert proxy.value(p_pos, p_neg) == pytest.approx(p_pos - p_neg)


def test_slopes_are_of_raw_features_so_scale_does_not_matter() -> None:
    rows = table()
    scaled = rows.set_column(0, "f0", pa.array(1000 * rows["f0"].to_numpy() + 7))
    plain, other = (predict(fit_proxy(part, ProxySettings(FEATURES)), part)[0] for part in (rows, scaled))
    assert plain == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_expected_over_observed_in_the_world(path: str) -> None:
    world = ListenerWorld.of(path, listeners=20_000)
    rows = ask(world, ranker_features(world, draw_pairs(world, draw_listeners(world, 5), 5), 5), 5)
    fitted = fit_proxy(rows_of(rows, "fit", 5), ProxySettings(RANKER_FEATURES))
    proxy = calibrate_proxy(fitted, rows_of(rows, "calibrate", 5), "beta")
    for side, cohorts in calibration(proxy, rows_of(rows, "test", 5), "low_signal", 5).items():
        for cohort in cohorts:
            ratio = cohort.expected_observed
            # .97 to 1.03 as far as 10,000 test rows can tell: the interval must reach into it.
            assert ratio.low <= 1.03 and ratio.high >= 0.97, (side, cohort.cohort, ratio)
            assert abs(ratio.value - 1) < 0.03 + 3 * (ratio.high - ratio.low) / 4


def test_users_are_kept_apart_and_the_cut_is_stable() -> None:
    users = [f"u{i}" for i in range(4_000)]
    part = user_parts(users, 1)
    assert np.bincount(part) / 4_000 == pytest.approx([0.5, 0.25, 0.25], abs=0.04)
    assert np.array_equal(user_parts(users[::-1], 1)[::-1], part)
    assert not np.array_equal(user_parts(users, 2), part)
    parts = [set(rows_of(table(), split, 0)["user_id"].to_pylist()) for split in ("fit", "calibrate", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def ready() -> tuple[Proxy, pa.Table]:
    rows = table(8_000)
    proxy = calibrate_proxy(
        fit_proxy(rows_of(rows, "fit", 0), ProxySettings(FEATURES)), rows_of(rows, "calibrate", 0), "isotonic"
    )
    return choose_thresholds(proxy, rows_of(rows, "test", 0), {"pos": 0.7}), rows


def test_the_proxy_survives_json_and_arrow() -> None:
    proxy, rows = ready()
    about, coefficients = to_parts(proxy)
    back = from_parts(json.loads(json.dumps(about)), coefficients)
    assert back == replace(proxy, about=back.about)
    assert np.array_equal(predict(back, rows)[0], predict(proxy, rows)[0])
    with pytest.raises(ArtifactError, match="same features"):
        from_parts(about, coefficients.slice(0, 3))
    with pytest.raises(ArtifactError, match="fit it again"):
        from_parts({"version": 1}, coefficients)


def test_claims_have_a_verdict_and_figures() -> None:
    proxy, rows = ready()
    test = rows_of(rows, "test", 0)
    tables = calibration(proxy, test, None, 0)
    claim = calibration_claim(tables, proxy, tables)
    assert len(claim.tables) == 3 and claim.figures and claim.verdict in ("supported", "cannot tell")
    safe = choose_thresholds(proxy, test, {"pos": 0.7})
    assert threshold_claim(safe).verdict == (
        "supported" if all(threshold.tau for threshold in safe.thresholds.values()) else "cannot tell"
    )
    assert threshold_claim(choose_thresholds(proxy, test, {"pos": 0.999})).exit_code == 1


def test_a_proxy_of_version_0_1_is_read() -> None:
    proxy, _ = ready()
    about, coefficients = to_parts(proxy)
    old = about | {"settings": about["settings"] | {"kind": "ordinal"}, "neutral_cut": 0.0}
    old["thresholds"] = {side: parts | {"mode": "corrected"} for side, parts in about["thresholds"].items()}
    coefficients = coefficients.append_column("neutral_slope", pa.array([0.0] * coefficients.num_rows))
    assert from_parts(json.loads(json.dumps(old)), coefficients) == from_parts(about, coefficients)
    old["settings"]["kind"] = "binary"
    with pytest.raises(ArtifactError, match="fit it again"):
        from_parts(old, coefficients)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"return": [6.0] * 10}, "'return' is 6; answers are whole numbers"),
        ({"return": [None] * 10}, "nobody answered"),
        ({"return": [4.0] * 10}, "everybody answered 4"),
        ({"f0": [np.inf] + [0.0] * 9}, "row 1, column 'f0' is 'inf'"),
        ({"f0": [0.0] * 9 + [None]}, "row 10, column 'f0' is empty"),
    ],
)
def test_bad_rows_are_named(change: dict[str, list[float]], words: str) -> None:
    columns = {"f0": list(np.linspace(-1, 1, 10)), "return": [1.0, 2.0, 3.0, 4.0, 5.0] * 2} | change
    with pytest.raises(InputError, match=words):
        fit_proxy(
            pa.table({name: pa.array(values, pa.float64()) for name, values in columns.items()}),
            ProxySettings(("f0",)),
        )


def test_a_feature_that_tells_the_answer_and_a_missing_one_are_refused() -> None:
    rows = table(200)
    leaky = rows.set_column(0, "f0", rows["return"])
    with pytest.raises(InputError, match="does not settle"):
        fit_proxy(leaky, ProxySettings(FEATURES, l2=0.0))
    with pytest.raises(InputError, match="column 'f9' is missing"):
        fit_proxy(rows, ProxySettings(("f9",)))
    with pytest.raises(InputError, match="which is not a number from 0"):
        fit_proxy(
            rows.append_column("w", pa.array([-1.0] + [1.0] * 199)), ProxySettings(FEATURES, weight="w")
        )
    with pytest.raises(InputError, match="each named once"):
        ProxySettings(("f0", "f0"))


def given_by(rng: np.random.Generator, people: int, each: int, off: float = 0.0) -> pa.Table:
    """Answers of people who differ by 1 in log-odds, beside what a proxy knows of them."""
    eta = rng.normal(size=people * each)
    own = np.repeat(rng.normal(size=people), each)
    answer = 1 + np.searchsorted(CUTS, eta + own + off + rng.logistic(size=len(eta)))
    return pa.table({"f0": eta, "return": answer, "user_id": np.repeat(np.arange(people), each).astype(str)})


def test_the_watch_rings_when_answers_changed_and_seldom_else() -> None:
    """The short form of part 2 of `python -m recipes.retention.thresholds`."""
    rng, runs = np.random.default_rng(6), 100
    bare = Proxy(ProxySettings(("f0",)), (1.0,), tuple(CUTS))
    alarms = {0.0: 0, -0.7: 0}
    for _ in range(runs):
        proxy = choose_thresholds(bare, given_by(rng, 80, 10))
        for off in alarms:
            judged = judge(proxy, given_by(rng, 80, 10, off))
            alarms[off] += any(change.alarm for change in changes(proxy, judged))
    assert alarms[0.0] <= binom.ppf(0.99, runs, 0.05) and alarms[-0.7] >= 0.85 * runs
    old = replace(bare, about={})  # judged before anything was stored: compared with a perfect one
    assert {change.then for change in changes(old, judge(old, given_by(rng, 80, 10)))} == {0.0, 1.0}


def test_noise_has_no_skill_and_knowledge_has() -> None:
    rng, runs, people = np.random.default_rng(8), 300, 25
    unit, shown = np.repeat(np.arange(people), 6), 0
    for _ in range(runs):
        y = (rng.random(150) < expit(np.repeat(rng.normal(size=people), 6))).astype(float)
        p = expit(0.2 * rng.normal(size=150))
        judged = Judged(pa.table({}), {"pos": y, "neg": 1 - y}, {"pos": p, "neg": 1 - p}, None, unit)
        shown += skill(judged).low > 0
    assert shown <= binom.ppf(0.99, runs, 0.025)
    known = {"pos": np.where(y > 0, 0.7, 0.3), "neg": np.where(y > 0, 0.3, 0.7)}
    assert skill(replace(judged, predicted=known)).low > 0.3
    few = replace(judged, unit=np.arange(150) % 9)
    assert "too few units: 9 people" in skill(few).reason


def test_slopes_have_intervals_by_person_and_counts_are_those_that_fitted() -> None:
    rows = table(3_000)
    settings = ProxySettings(FEATURES)
    slopes = slope_intervals(rows, settings, 1)
    assert slopes["f0"].low < 0.8 < slopes["f0"].high and slopes["f3"].low < 0 < slopes["f3"].high
    proxy = calibrate_proxy(fit_proxy(rows.slice(0, 1_000), settings), rows.slice(1_000, 400))
    proxy = choose_thresholds(proxy, rows.slice(1_400, 600))
    assert proxy.about["counts"] == {"fit": [1_000, 500], "calibrate": [400, 200], "test": [600, 300]}
    claim = calibration_claim(calibration(proxy, rows.slice(1_400, 600)), proxy)
    assert claim.tables[-1].rows[0][1:] == (1_000, 500)
    few = calibration_claim(calibration(proxy, rows.slice(1_400, 40)), proxy)
    assert few.verdict == "cannot tell" and "Too few units: 20 people" in few.because
