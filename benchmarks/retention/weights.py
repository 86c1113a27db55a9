"""Cost and correctness of survey weights and validity, and agreement with balance, semopy and pingouin.

    python -m benchmarks.retention.weights [--rows 1000000] [--covariates 20] [--runs 1000] [--envs DIR]
    [--skip-peers] [--out F]

The peers are installed by this benchmark, each in an environment of its own under --envs; one that cannot be
installed is reported as such and changes nothing else.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from recipes.common import command, options
from scipy.stats import norm

from tastemaker.retention.validity.claim import alpha
from tastemaker.retention.validity.factor.cfa import fit_cfa
from tastemaker.retention.validity.polychoric import fit_polychoric
from tastemaker.retention.weights.aipw import aipw_mean
from tastemaker.retention.weights.weigh import response_weights

Floats = npt.NDArray[np.float64]
PEERS = {"balance": "balance==0.23.0", "semopy": "semopy==2.3.11", "pingouin": "pingouin==0.7.0"}


def survey(x: Floats, answered: npt.NDArray[np.bool_], y: Floats | None = None) -> pa.Table:
    """One row a question shown, everyone asked with probability .5."""
    n = len(x)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    answers = pa.array(np.ones(n) if y is None else y, mask=~answered)
    return pa.table(
        columns | {"user_id": np.arange(n), "asked_probability": np.full(n, 0.5), "answer": answers}
    )


def drawn(n: int, p: int, seed: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Correlated covariates, a third of them two-valued, and who answers by a logistic model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1))
    x[:, ::3] = x[:, ::3] > 0.5
    slope = rng.normal(size=p) / np.sqrt(p)
    return x, rng.random(n) < 1 / (1 + np.exp(-(x - x.mean(axis=0)) @ slope + 0.3))


def cost(rows: int, covariates: int) -> dict[str, Any]:
    """Seconds and memory of `response_weights` in a process of its own, beside one logistic regression on the
    same rows.
    """
    x, answered = drawn(rows, covariates, 0)
    table, names = survey(x, answered), [f"x{j}" for j in range(covariates)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    weights = response_weights(table, names)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from sklearn.linear_model import LogisticRegression

    start = time.process_time()
    LogisticRegression(C=1e6, max_iter=200).fit(x, answered)
    return {
        "rows": rows,
        "covariates": covariates,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "logistic_regression_cpu_seconds": round(time.process_time() - start, 2),
        "table_mb": round(table.nbytes / 2**20),
        "extra_peak_mb": round((peak - before) / 1024),
        "newton_steps": weights.steps,
        "worst_smd_before": round(weights.worst(when="before"), 3),
        "worst_smd_after": weights.worst(),
        "moments_checked": weights.balance.num_rows,
    }


def golden() -> dict[str, Any]:
    """20,000 x 6: steps, time of the whole call, balance, and the bias of the mean before and after."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000, 6))
    slope = np.array([0.8, -0.5, 0.4, 0.3, -0.2, 0.1])
    answered = rng.random(20_000) < 1 / (1 + np.exp(-x @ slope))
    y = 3 + x @ slope * 0.6 + rng.normal(size=20_000)
    table, names = survey(x, answered, y), [f"x{j}" for j in range(6)]
    response_weights(table, names)
    start = time.perf_counter()
    weights = response_weights(table, names)
    seconds = time.perf_counter() - start
    bias = y[answered].mean() - y.mean(), weights.weight @ y / weights.weight.sum() - y.mean()
    return {
        "newton_steps": weights.steps,
        "milliseconds": round(1000 * seconds, 1),
        "worst_smd": [round(weights.worst(when="before"), 3), weights.worst()],
        "bias_of_mean": [round(float(bia), 3) for bia in bias],
    }


def coverage(runs: int) -> dict[str, Any]:
    """Share of 95 % intervals of `aipw_mean` that hold the truth when either model is wrong, with its
    Monte-Carlo error.
    """
    results: dict[str, Any] = {"runs": runs, "three_mc_se": round(3 * float(np.sqrt(0.95 * 0.05 / runs)), 4)}
    for wrong in ("neither", "response", "answer"):
        held = []
        for seed in range(runs):
            rng = np.random.default_rng((seed, len(wrong)))
            x = rng.normal(size=(300, 2))
            lean = 0.2 + (
                0.5 * x[:, 0] + 0.5 * (x[:, 1] ** 2 - 1) if wrong == "response" else x @ [0.6, -0.4]
            )
            bend = 0.4 * (x[:, 0] ** 2 - 1) if wrong == "answer" else 0.0
            y = 3 + 0.5 * x[:, 0] + 0.3 * x[:, 1] + bend + rng.normal(size=300)
            answered = rng.random(300) < 1 / (1 + np.exp(-lean))
            item = aipw_mean(survey(x, answered, y), ["x0", "x1"], folds=2, key=(seed,))
            held.append(item.low <= 3 <= item.high)
        results[f"{wrong}_wrong"] = float(np.mean(held))
    return results


def polychoric_bias(runs: int = 200) -> dict[str, Any]:
    """Mean error of the polychoric correlation at rho .63, n = 5,000."""
    rng, cuts, tables = np.random.default_rng(0), norm.ppf(np.cumsum([0.10, 0.12, 0.22, 0.32])), []
    for _ in range(runs):
        a = rng.normal(size=5_000)
        b = 0.63 * a + np.sqrt(1 - 0.63**2) * rng.normal(size=5_000)
        tables.append(
            np.bincount(np.digitize(a, cuts) * 5 + np.digitize(b, cuts), minlength=25).reshape(5, 5)
        )
    rho = fit_polychoric(np.array(tables))
    return {"runs": runs, "bias": round(float(rho.mean() - 0.63), 5), "sd": round(float(rho.std()), 5)}


def peer(name: str, envs: Path, script: str, data: Path) -> Any:
    """What `script` prints as JSON in the peer's environment, which is made when it is not there."""
    folder = envs / name
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {PEERS[name]} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    have = subprocess.run([python, "-m", "pip", "show", name], capture_output=True, text=True)
    if f"Version: {PEERS[name].split('==')[1]}" not in have.stdout:
        subprocess.run(
            [python, "-m", "pip", "install", "-q", PEERS[name]], check=True, capture_output=True, timeout=900
        )
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, data], check=True, capture_output=True, text=True, timeout=900
    )
    return json.loads(done.stdout.splitlines()[-1])


BALANCE = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
import numpy as np, pandas as pd
from balance import Sample
d = np.loadtxt(sys.argv[1], delimiter=",")
x, r = d[:, :-1], d[:, -1] > 0
f = pd.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])]); f["id"] = np.arange(len(f)).astype(str)
s, t = (Sample.from_frame(f[m], id_column="id") for m in (r, ~r))
start = time.perf_counter()
a = s.set_target(t).adjust(method="cbps", transformations=None, cbps_method="exact", max_de=None,
                           weight_trimming_mean_ratio=None, weight_trimming_percentile=None)
seconds = time.perf_counter() - start
w = a.weights().df.iloc[:, 0].to_numpy()
print(json.dumps({"weights": w.tolist(), "seconds": seconds, "asmd": float(a.covars().asmd().loc["self", "mean(asmd)"])}))
"""
SEMOPY = """
import json, sys
import semopy, numpy as np
from semopy.examples import holzinger39 as h
d = h.get_data()
m = semopy.Model(h.get_model()); m.fit(d)
s = semopy.calc_stats(m).iloc[0]
c = np.cov(d[[f"x{i}" for i in range(1, 10)]].to_numpy().T, bias=True)
print(json.dumps({"covariance": c.tolist(), "chi2": float(s["chi2"]), "cfi": float(s["CFI"]), "tli": float(s["TLI"]),
                  "rmsea": float(s["RMSEA"])}))
"""
PINGOUIN = """
import json, sys
import numpy as np, pandas as pd, pingouin
a, ci = pingouin.cronbach_alpha(pd.DataFrame(np.loadtxt(sys.argv[1], delimiter=",")))[:2]
print(json.dumps({"alpha": float(a), "low": float(ci[0]), "high": float(ci[1])}))
"""


def against_balance(envs: Path, folder: Path) -> dict[str, Any]:
    """Exact CBPS of those who answered towards those who did not: its weights are our d / pi - d up to
    scale.
    """
    x, answered = drawn(4_000, 4, 3)
    np.savetxt(folder / "balance.csv", np.column_stack([x, answered]), delimiter=",")
    theirs = peer("balance", envs, BALANCE, folder / "balance.csv")
    start = time.perf_counter()
    ours = response_weights(survey(x, answered), [f"x{j}" for j in range(4)])
    seconds = time.perf_counter() - start
    odds, other = ours.weight[answered] - 2.0, np.array(theirs["weights"])
    gap = np.abs(odds / odds.sum() / (other / other.sum()) - 1).max()
    times = f"{theirs['seconds']:.2f} s against {seconds:.3f} s"
    return {
        "largest relative difference of a weight": float(gap),
        "mean asmd, theirs": theirs["asmd"],
        "theirs against ours": times,
    }


def against_semopy(envs: Path, folder: Path) -> dict[str, Any]:
    """Fit measures of the Holzinger-Swineford model; semopy's RMSEA divides by n - 1."""
    theirs = peer("semopy", envs, SEMOPY, folder)
    ours = fit_cfa(
        theirs["covariance"], 301, {"visual": [0, 1, 2], "textual": [3, 4, 5], "speed": [6, 7, 8]}
    ).fit
    pairs = {
        "chi2": ours.chi2,
        "cfi": ours.cfi,
        "tli": ours.tli,
        "rmsea": ours.rmsea * float(np.sqrt(301 / 300)),
    }
    return {f"{name}, ours - theirs": float(value - theirs[name]) for name, value in pairs.items()}


def against_pingouin(envs: Path, folder: Path) -> dict[str, Any]:
    """Cronbach's alpha and its interval."""
    rng = np.random.default_rng(0)
    trait = rng.normal(size=50)
    x = np.array([np.round(3 + trait * 0.8 + rng.normal(size=50) * 0.9) for _ in range(4)]).T
    np.savetxt(folder / "pingouin.csv", x, delimiter=",")
    theirs, ours = peer("pingouin", envs, PINGOUIN, folder / "pingouin.csv"), alpha(np.cov(x.T), 50)
    return {
        "alpha, ours - theirs": ours.value - theirs["alpha"],
        "interval, ours - theirs": ours.low - theirs["low"],
    }


def tolerated(work: Callable[[Path, Path], dict[str, Any]], envs: Path, folder: Path) -> dict[str, Any]:
    """The comparison, or why there is none."""
    try:
        return work(envs, folder)
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        text = (getattr(error, "stderr", None) or b"")[-300:]
        return {
            "not compared": (
                f"{type(error).__name__}: {text.decode() if isinstance(text, bytes) else text}".strip()
            )
        }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--covariates", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "tastemaker-peers")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # its peak memory is of this work alone
        results: dict[str, Any] = {"cost": pool.apply(cost, (arguments.rows, arguments.covariates))}
    results |= {"golden": golden(), "coverage": coverage(arguments.runs), "polychoric": polychoric_bias()}
    if not arguments.skip_peers:
        with tempfile.TemporaryDirectory() as name:
            for title, work in (
                ("balance", against_balance),
                ("semopy", against_semopy),
                ("pingouin", against_pingouin),
            ):
                results[title] = tolerated(work, arguments.envs, Path(name))
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    command(main)
