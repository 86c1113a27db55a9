"""Agreement of `experiment` with tea-tasting, gbstats and spotify-confidence on the same numbers.

    python -m benchmarks.retention.oracles [--envs DIR]

Each package is installed by this benchmark in an environment of its own (their pins exclude each other); one
that cannot be installed is reported as such. Printed: the largest relative difference of each quantity. CUPED
differs in the fourth digit: theta is pooled within arms here (the regression coefficient) and over both arms
together there.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from recipes.common import command, options
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from tastemaker.experiment import (
    Metric,
    Moments,
    bh,
    confidence_sequence,
    effect,
    holm,
    non_inferior,
    sample_size,
    srm,
)
from tastemaker.experiment.effects import Effect

PACKAGES = {
    "tea-tasting": "tea-tasting==1.14.0",
    "gbstats": "gbstats==0.8.0",
    "spotify-confidence": "spotify-confidence==4.1.0",
}
N = 4000

TEA = """
import json, sys
import tea_tasting as tt, pyarrow as pa
given = json.load(open(sys.argv[1]))
data = pa.table(given["data"] | {"variant": [int(one) for one in given["treated"]]})
found = tt.Experiment(
    mean=tt.Mean("y"), cuped=tt.Mean("y", covariate="x"), ratio=tt.RatioOfMeans("y", "plays"),
    cuped_ratio=tt.RatioOfMeans("y", "plays", "x", "plays_before"), srm=tt.SampleRatio(),
).analyze(data)
out = {}
for name in ("mean", "cuped", "ratio", "cuped_ratio"):
    one = found[name]
    out[name] = [one.effect_size, one.effect_size_ci_lower, one.effect_size_ci_upper, one.pvalue, one.rel_effect_size]
out["units"] = tt.Mean("y", rel_effect_size=0.05).solve_power(data, "n_obs")[0].n_obs
json.dump(out, open(sys.argv[2], "w"))
"""

GROWTHBOOK = """
import json, sys
import numpy as np
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic
given = json.load(open(sys.argv[1]))
treated = np.array(given["treated"])
data = {name: np.array(values) for name, values in given["data"].items()}
def mean(name, side):
    v = data[name][side]
    return SampleMeanStatistic(n=len(v), sum=float(v.sum()), sum_squares=float((v**2).sum()))
def ratio(side):
    y, x = data["y"][side], data["plays"][side]
    products = float((x * y).sum())
    return RatioStatistic(n=len(y), m_statistic=mean("y", side), d_statistic=mean("plays", side), m_d_sum_of_products=products)
def adjusted(side, theta):
    y, x = data["y"][side], data["x"][side]
    parts = {"post_statistic": mean("y", side), "pre_statistic": mean("x", side)}
    return RegressionAdjustedStatistic(n=len(y), theta=theta, post_pre_sum_of_products=float((x * y).sum()), **parts)
def told(test):
    r = test.compute_result()
    return [r.expected, r.ci[0], r.ci[1], r.p_value]
out = {}
for kind in ("relative", "absolute"):
    config = FrequentistConfig(difference_type=kind)
    sequential = SequentialConfig(difference_type=kind, sequential_tuning_parameter=given["planned"])
    out["mean " + kind] = told(TwoSidedTTest(mean("y", ~treated), mean("y", treated), config))
    out["ratio " + kind] = told(TwoSidedTTest(ratio(~treated), ratio(treated), config))
    out["sequence " + kind] = told(SequentialTwoSidedTTest(mean("y", ~treated), mean("y", treated), sequential))
theta = given["theta"]
config = FrequentistConfig(difference_type="absolute")
out["cuped absolute"] = told(TwoSidedTTest(adjusted(~treated, theta), adjusted(treated, theta), config))
json.dump(out, open(sys.argv[2], "w"))
"""

CONFIDENCE = """
import json, sys
import pandas as pd
from spotify_confidence import ZTest
given = json.load(open(sys.argv[1]))
rows = pd.DataFrame(given["sums"])
test = ZTest(rows, numerator_column="total", numerator_sum_squares_column="squares", denominator_column="n",
             categorical_group_columns="arm", interval_size=0.95)
one = test.difference(level_1="control", level_2="treatment").iloc[0]
safe = test.difference(level_1="control", level_2="treatment", non_inferiority_margins=(given["margin"], "increase")).iloc[0]
out = {"difference": [float(one["difference"]), float(one["ci_lower"]), float(one["ci_upper"]), float(one["p-value"])],
       "non-inferiority": [float(safe["p-value"]), float(safe["ci_lower"])]}
json.dump(out, open(sys.argv[2], "w"), default=float)
"""


def material() -> dict[str, Any]:
    """4,000 users: a metric y, its covariate x, plays now and before."""
    rng = np.random.default_rng(11)
    taste, treated = rng.gamma(4.0, 1.0, N), rng.random(N) < 0.5
    plays, before = rng.poisson(taste) + 1.0, rng.poisson(taste) + 1.0
    y = rng.binomial(plays.astype(int), 0.3 + 0.02 * treated) * 1.0
    x = rng.binomial(before.astype(int), 0.3) * 1.0
    return {"treated": treated, "data": {"y": y, "x": x, "plays": plays, "plays_before": before}}


def environment(folder: Path, name: str) -> Path | None:
    """The interpreter of an environment that has the package; None when it cannot be installed."""
    python = folder / f"oracle_{name}" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True, capture_output=True)
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PACKAGES[name]]
    if name == "spotify-confidence":
        install.append("pandas<3")
    return python if subprocess.run(install, capture_output=True).returncode == 0 else None


def ask(python: Path, script: str, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a worker in its environment."""
    plain = json.dumps(given, default=lambda value: value.tolist())
    (folder / "given.json").write_text(plain)
    (folder / "worker.py").write_text(script)
    done = subprocess.run(
        [python, folder / "worker.py", folder / "given.json", folder / "found.json"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


def apart(ours: list[float], theirs: list[float]) -> float:
    """Largest relative difference."""
    return max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, theirs, strict=True))


def numbers(item: Effect) -> list[float]:
    """Value, interval, p."""
    return [item.value, item.low, item.high, item.p]


def main() -> None:
    """Print one row a package and quantity."""
    reader = options(__doc__)
    reader.add_argument("--envs", type=Path, help="folder of the environments (default: a temporary one)")
    arguments = reader.parse_args()
    given = material()
    columns = tuple(given["data"])
    values = np.column_stack(list(given["data"].values()))
    t, c = (Moments.of(columns, values[side]) for side in (given["treated"], ~given["treated"]))
    mean, ratio = Metric("y", covariate="x"), Metric("ratio", "y", "plays", "x", "plays_before")
    print("| package | quantity | largest relative difference |\n|---|---|---|")
    for quantity, gap in by_statsmodels(given, t, c, mean).items():
        print(f"| statsmodels=={version('statsmodels')} | {quantity} | {gap:.1e} |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.envs or Path(name)
        for package, compare in (
            ("tea-tasting", tea),
            ("gbstats", growthbook),
            ("spotify-confidence", confidence),
        ):
            python = environment(folder, package)
            if python is None:
                print(f"| {package} | could not be installed | |", flush=True)
                continue
            for quantity, gap in compare(python, given, t, c, mean, ratio, Path(name)).items():
                print(f"| {PACKAGES[package]} | {quantity} | {gap:.1e} |", flush=True)


def by_statsmodels(given: Any, t: Moments, c: Moments, mean: Metric) -> dict[str, float]:
    """Welch's interval and p, corrections, and units for power."""
    y, treated = given["data"]["y"], given["treated"]
    compared = CompareMeans(DescrStatsW(y[treated]), DescrStatsW(y[~treated]))
    low, high = compared.tconfint_diff(usevar="unequal")
    p = float(compared.ttest_ind(usevar="unequal")[1])
    ours, ps = effect(t, c, mean, "absolute", False), [0.001, 0.01, 0.02, 0.04, 0.3]
    theirs = TTestIndPower().solve_power(effect_size=0.01 / 1.2, alpha=0.05, power=0.8)
    return {
        "mean: difference, interval, p": apart(
            numbers(ours), [float(y[treated].mean() - y[~treated].mean()), float(low), float(high), p]
        ),
        "Holm": apart(holm(ps).tolist(), multipletests(ps, method="holm")[1].tolist()),
        "Benjamini-Hochberg": apart(bh(ps).tolist(), multipletests(ps, method="fdr_bh")[1].tolist()),
        "units for a lift of 1 % at CV 1.2": apart([sample_size(1.2, 0.01)], [float(theirs)]),
    }


def tea(
    python: Path, given: Any, t: Moments, c: Moments, mean: Metric, ratio: Metric, folder: Path
) -> dict[str, float]:
    """Means and ratios with and without CUPED, relative lift, units for power."""
    theirs = ask(python, TEA, given, folder)
    out = {}
    for name, metric, use in (
        ("mean", mean, False),
        ("cuped", mean, True),
        ("ratio", ratio, False),
        ("cuped_ratio", ratio, True),
    ):
        ours = [*numbers(effect(t, c, metric, "absolute", use)), effect(t, c, metric, "relative", use).value]
        out[f"{name}: effect, interval, p, lift"] = apart(ours, theirs[name])
    whole = t + c
    cv = float(np.sqrt(whole.covariance(["y"])[0, 0])) / whole.mean_of("y")
    out["units for a 5 % lift"] = apart([2 * sample_size(cv, 0.05)], [theirs["units"]])
    return out


def growthbook(
    python: Path, given: Any, t: Moments, c: Moments, mean: Metric, ratio: Metric, folder: Path
) -> dict[str, float]:
    """Means, ratios, the confidence sequence, CUPED with the same theta."""
    both = [part.covariance(["y", "x"]) * (part.n - 1) for part in (t, c)]
    theta = float(sum(item[0, 1] for item in both) / sum(item[1, 1] for item in both))
    theirs = ask(python, GROWTHBOOK, given | {"planned": 5000, "theta": theta}, folder)
    out = {}
    for name, metric in (("mean", mean), ("ratio", ratio)):
        out[f"{name}, absolute: effect, interval, p"] = apart(
            numbers(effect(t, c, metric, "absolute", False)), theirs[f"{name} absolute"]
        )
        lift, known = effect(t, c, metric, "relative", False), theirs[f"{name} relative"]
        delta = float(stats.t.ppf(0.975, lift.df)) * lift.se
        out[f"{name}, relative: lift"] = apart([lift.value], known[:1])
        ends = [lift.value - delta, lift.value + delta]
        out[f"{name}, relative: interval by the delta method, with df of the lift there"] = apart(
            ends, known[1:3]
        )
        ends, width = np.array([lift.low, lift.high]) - known[1:3], known[2] - known[1]
        out[f"{name}, relative: ends of Fieller's interval, as a share of its width"] = float(
            abs(ends).max() / width
        )
    for kind in ("absolute", "relative"):
        entry = effect(t, c, mean, kind, False)
        seq = confidence_sequence(entry.value, entry.se**2, entry.n, 5000)
        out[f"sequence, {kind}: effect, interval, p"] = apart(
            [entry.value, float(seq.low), float(seq.high), float(seq.p)], theirs[f"sequence {kind}"]
        )
    out["cuped, absolute: effect, interval, p"] = apart(
        numbers(effect(t, c, mean, "absolute")), theirs["cuped absolute"]
    )
    return out


def confidence(
    python: Path, given: Any, t: Moments, c: Moments, mean: Metric, ratio: Metric, folder: Path
) -> dict[str, float]:
    """Difference by z, and non-inferiority."""
    y, treated, margin = given["data"]["y"], given["treated"], 0.05
    sums = {
        "arm": ["control", "treatment"],
        "total": [float(y[~treated].sum()), float(y[treated].sum())],
        "squares": [float((y[~treated] ** 2).sum()), float((y[treated] ** 2).sum())],
        "n": [int((~treated).sum()), int(treated.sum())],
    }
    theirs = ask(python, CONFIDENCE, {"sums": sums, "margin": margin}, folder)
    welch = effect(t, c, mean, "absolute", False)
    half, p = 1.959963984540054 * welch.se, math.erfc(abs(welch.value) / welch.se / math.sqrt(2))
    ours = replace(welch, low=welch.value - half, high=welch.value + half, p=p, df=math.inf)
    test = non_inferior(ours, margin * c.mean_of("y"))
    # Their p is two-sided where a margin is given and an "increase" preferred: twice the one-sided one is
    # compared as well.
    gap = min(
        apart([test.p], [theirs["non-inferiority"][0]]), apart([2 * test.p], [theirs["non-inferiority"][0]])
    )
    assert (
        holm([0.01, 0.04]).tolist() == [0.02, 0.04] and not srm({"a": 1, "b": 1}, {"a": 0.5, "b": 0.5}).alarm
    )
    return {
        "difference: effect, interval, p": apart(numbers(ours), theirs["difference"]),
        "non-inferiority: p": gap,
    }


if __name__ == "__main__":
    command(main)
