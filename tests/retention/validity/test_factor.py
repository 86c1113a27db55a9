"""Factor analysis against the Holzinger-Swineford numbers, what cannot be fitted, and groups compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tastemaker.errors import InputError
from tastemaker.retention.validity.claim import alpha
from tastemaker.retention.validity.factor.cfa import fit_cfa
from tastemaker.retention.validity.factor.claim import battery, battery_claim, htmt, htmt_bounds
from tastemaker.retention.validity.factor.invariance import invariance
from tastemaker.retention.validity.factor.ordinal import fit_ordinal_cfa, is_ordinal, polychoric_moments

HS = """1.358370
0.407371 1.381784
0.579899 0.451064 1.274865
0.504835 0.208923 0.208170 1.350665
0.440616 0.211091 0.112296 1.097753 1.659786
0.454808 0.247545 0.244109 0.895516 1.014524 1.196358
0.084765 -0.096751 0.088342 0.219743 0.143000 0.144078 1.183139
0.263838 0.109659 0.212323 0.125593 0.180605 0.165431 0.535245 1.021983
0.458339 0.244009 0.373853 0.243363 0.295241 0.235997 0.373297 0.457317 1.015004"""
GRANT_WHITE = """1.318647
0.41431 1.226379
0.53375 0.478448 1.073365
0.439868 0.283103 0.380965 1.257212
0.411134 0.204569 0.344233 0.933298 1.341665
0.412028 0.243892 0.407071 0.906397 0.898084 1.280142
0.123285 0.075727 0.079681 0.241305 0.302994 0.208295 1.0618
0.369523 0.194586 0.25857 0.121765 0.239728 0.14338 0.632835 1.09438
0.573133 0.281398 0.395735 0.361459 0.422277 0.315245 0.441902 0.566652 1.051048"""
PASTEUR = """1.39523
0.402103 1.50375
0.620107 0.476758 1.345789
0.567926 0.088504 0.16466 1.319686
0.47194 0.142551 0.066445 1.07981 1.70791
0.497563 0.194036 0.222102 0.755121 0.933921 0.974449
0.046164 -0.203845 -0.024698 0.321554 0.170905 0.219107 1.16992
0.165195 0.038512 0.151611 0.146989 0.151505 0.205647 0.426092 0.951991
0.351143 0.218678 0.332078 0.155163 0.208428 0.186184 0.287226 0.352425 0.977553"""
MEANS = {
    "Pasteur": [4.941239, 5.983974, 2.487179, 2.82265, 3.995192, 1.922161, 4.432274, 5.563141, 5.417735],
    "Grant-White": [4.929885, 6.2, 1.99569, 3.317241, 4.712069, 2.468966, 3.92084, 5.488276, 5.327203],
}
BLOCKS = {"visual": [0, 1, 2], "textual": [3, 4, 5], "speed": [6, 7, 8]}


def square(text: str) -> npt.NDArray[np.float64]:
    rows = [[float(number) for number in line.split()] for line in text.splitlines()]
    matrix = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        matrix[i, : i + 1] = matrix[: i + 1, i] = row
    return matrix


def test_the_holzinger_swineford_goldens() -> None:
    fit = fit_cfa(square(HS), 301, BLOCKS)
    f = fit.fit
    assert (round(f.chi2, 3), f.df, round(f.baseline_chi2, 3), f.baseline_df) == (85.306, 24, 918.852, 36)
    assert [round(value, 4) for value in (f.cfi, f.tli, f.rmsea, f.rmsea_low, f.rmsea_high)] == [
        0.9306,
        0.8958,
        0.0921,
        0.0714,
        0.1137,
    ]
    assert round(f.srmr, 4) == 0.0652
    assert fit.loadings.round(3).tolist() == [0.772, 0.424, 0.581, 0.852, 0.855, 0.838, 0.570, 0.723, 0.665]
    assert [round(fit.phi[i, j], 3) for i, j in ((0, 1), (0, 2), (1, 2))] == [0.459, 0.471, 0.283]
    assert fit.ave.round(3).tolist() == [0.371, 0.720, 0.430]
    assert fit.reliability.round(3).tolist() == [0.626, 0.885, 0.691]
    assert fit.fornell_larcker().all() and not fit.improper
    alphas = [alpha(square(HS)[np.ix_(items, items)], 301).value for items in BLOCKS.values()]
    assert [round(value, 3) for value in alphas] == [0.626, 0.883, 0.688]
    assert [round(value, 3) for value in htmt(square(HS), BLOCKS).values()] == [0.424, 0.467, 0.290]


def test_semopy_agrees() -> None:
    """semopy 2.3.11 on the raw data: chi2 85.30573, CFI .9305594; its RMSEA divides by n - 1."""
    f = fit_cfa(square(HS), 301, BLOCKS).fit
    assert f.chi2 == pytest.approx(85.30573, abs=2e-4) and f.cfi == pytest.approx(0.9305594, abs=1e-6)
    assert f.rmsea * np.sqrt(301 / 300) == pytest.approx(9.227505e-02, abs=1e-6)


def test_the_two_schools_differ_in_intercepts() -> None:
    """The textbook sequence of these data: 115.851 (48), 124.044 (54), 164.103 (60)."""
    groups = {
        "Pasteur": (square(PASTEUR), MEANS["Pasteur"], 156),
        "Grant-White": (square(GRANT_WHITE), MEANS["Grant-White"], 145),
    }
    levels = invariance(groups, BLOCKS)
    assert [(level.level, round(level.fit.chi2, 2), level.fit.df) for level in levels] == [
        ("configural", 115.85, 48),
        ("metric", 124.04, 54),
        ("scalar", 164.10, 60),
    ]
    assert [round(level.fit.cfi, 3) for level in levels] == [0.923, 0.921, 0.882]
    assert [level.holds for level in levels] == [True, True, False]


def test_a_model_that_is_true_is_recovered() -> None:
    loadings, phi = np.array([0.8, 0.7, 0.6, -0.5, 0.9, 0.4]), 0.3
    lam = np.zeros((6, 2))
    lam[:3, 0], lam[3:, 1] = loadings[:3], loadings[3:]
    sigma = lam @ [[1, phi], [phi, 1]] @ lam.T + np.diag(1 - loadings**2)
    scale = np.array([1, 5, 0.1, 2, 1, 3.0])
    fit = fit_cfa(sigma * np.outer(scale, scale), 500, {"a": [0, 1, 2], "b": [3, 4, 5]})
    assert fit.loadings == pytest.approx(loadings, abs=1e-6) and fit.phi[0, 1] == pytest.approx(phi, abs=1e-6)
    assert fit.fit.chi2 == pytest.approx(0, abs=1e-6) and fit.fit.cfi == 1 and fit.fit.rmsea == 0


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({"return": [0]}, "factor 'return' has 1 item: its loadings are not identified.*test-retest"),
        ({"pair": [0, 1]}, "factor 'pair' has 2 items"),
        ({"a": [0, 1, 2], "b": [2, 3]}, "item 2 is in two blocks"),
    ],
)
def test_what_is_not_identified_is_refused(blocks: dict[str, list[int]], words: str) -> None:
    p = {"return": 1, "pair": 2}.get(next(iter(blocks)), 4)
    with pytest.raises(InputError, match=words):
        fit_cfa(square(HS)[:p, :p], 301, blocks)


def test_what_is_no_covariance_is_refused() -> None:
    repeated = square(HS)[np.ix_([0, 1, 2, 2], [0, 1, 2, 2])]
    with pytest.raises(InputError, match="not positive definite"):
        fit_cfa(repeated, 301, {"a": [0, 1, 2, 3]})
    with pytest.raises(InputError, match="at least two"):
        invariance({"one": (square(HS), np.zeros(9), 301)}, BLOCKS)


def test_bounds_of_htmt_cover_and_one_thing_is_seen_as_one() -> None:
    rng = np.random.default_rng(1)
    sigma = square(HS)
    answers = rng.multivariate_normal(np.zeros(9), sigma, size=2_000)
    for pair, bounds in htmt_bounds(answers, BLOCKS).items():
        assert bounds.low < htmt(sigma, BLOCKS)[pair] < bounds.high
    same = rng.normal(size=(400, 1)) + 0.7 * rng.normal(size=(400, 4))
    assert htmt_bounds(same, {"a": [0, 1], "b": [2, 3]})[("a", "b")].high > 1
    with pytest.raises(InputError, match="block 'a' has 1 item"):
        htmt(sigma, {"a": [0], "b": [1, 2]})


def test_the_battery_of_holzinger_is_a_mixed_verdict() -> None:
    groups = {
        "Pasteur": (square(PASTEUR), MEANS["Pasteur"], 156),
        "Grant-White": (square(GRANT_WHITE), MEANS["Grant-White"], 145),
    }
    _, report = battery_claim(square(HS), 301, BLOCKS, groups=groups)
    assert report.verdict == "not supported"
    passes = {row[0]: row[3] for row in report.tables[0].rows}
    assert not any(passes[name] for name in ("CFI", "RMSEA", "AVE of visual"))
    assert all(passes[name] for name in ("SRMR", "HTMT of visual and textual", "AVE of textual"))
    assert "scalar invariance" in report.because


def ordered(n: int = 600, seed: int = 7) -> npt.NDArray[np.float64]:
    """Nine items of five answers, cut from three correlated normal factors."""
    rng = np.random.default_rng(seed)
    factors = rng.multivariate_normal(np.zeros(3), [[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]], n)
    loads = [0.8, 0.7, 0.6, 0.75, 0.65, 0.7, 0.8, 0.6, 0.5]
    columns = [
        1
        + np.searchsorted(
            [-1.2, -0.4, 0.4, 1.2],
            load * factors[:, place // 3] + np.sqrt(1 - load**2) * rng.standard_normal(n),
        )
        for place, load in enumerate(loads)
    ]
    return np.column_stack(columns).astype(float)


def test_ordered_answers_give_what_lavaan_gives() -> None:
    """lavaan 0.6.14, WLSMV, of the same table; `benchmarks/retention/agreement.py` asks R anew."""
    fit = fit_ordinal_cfa(ordered(), BLOCKS)
    f = fit.fit
    assert [round(v, 3) for v in (f.chi2, f.baseline_chi2, f.cfi, f.tli)] == [43.847, 1453.697, 0.986, 0.979]
    assert [round(v, 3) for v in (f.rmsea, f.rmsea_low, f.rmsea_high, f.srmr)] == [0.037, 0.019, 0.054, 0.033]
    assert f.df == 24
    expected = [0.7418, 0.6803, 0.6627, 0.7838, 0.6471, 0.7127, 0.6676, 0.6091, 0.5694]
    assert fit.loadings == pytest.approx(expected, abs=6e-5)
    assert fit.phi[np.tril_indices(3, -1)] == pytest.approx([0.438, 0.285, 0.390], abs=6e-4)


def test_the_variance_of_polychorics_is_that_of_resampled_people() -> None:
    answers, rng = ordered(1_500, 1)[:, :3], np.random.default_rng(2)
    gamma = polychoric_moments(answers)[1]
    drawn = [polychoric_moments(answers[rng.integers(0, 1_500, 1_500)])[0] for _ in range(300)]
    assert np.var(drawn, axis=0) * 1_500 == pytest.approx(np.diag(gamma), rel=0.25)


def test_ordered_answers_are_known_and_fitted_as_such() -> None:
    answers = ordered()
    assert is_ordinal(answers) and not is_ordinal(answers + 0.5)
    assert not is_ordinal(np.random.default_rng(0).normal(size=(50, 2)))
    names = [f"x{i}" for i in range(9)]
    table = pa.table(dict(zip(names, answers.T, strict=True)))
    blocks = {factor: [names[i] for i in items] for factor, items in BLOCKS.items()}
    given = battery(table, blocks, resamples=50)
    assert given.ordinal is not None
    fit, claim = battery_claim(given.covariance, given.n, given.blocks, names=names, ordinal=given.ordinal)
    assert fit is given.ordinal and "WLSMV" in claim.tables[0].note
    numbers = pa.table({name: column + 0.25 for name, column in zip(names, answers.T, strict=True)})
    assert battery(numbers, blocks, resamples=50).ordinal is None
    people = table.append_column("user_id", pa.array([f"u{i // 2}" for i in range(600)]))
    with pytest.raises(InputError, match="user 'u0' has several rows; a battery has one row a person"):
        battery(people, blocks)
    with pytest.raises(InputError, match="repeat each other"):
        fit_ordinal_cfa(
            np.column_stack([answers[:, [0, 0, 1]], answers[:, 3:6]]), {"a": [0, 1, 2], "b": [3, 4, 5]}
        )
