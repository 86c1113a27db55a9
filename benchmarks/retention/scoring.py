"""Cost of proxy scoring: 1M rows x 30 features from an Arrow table (limit 1 s), and one request of 500
candidates.

python -m benchmarks.retention.scoring
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
from recipes.common import command, options

from tastemaker.retention.proxy.judge import calibrate_proxy
from tastemaker.retention.proxy.model import ProxySettings, fit_proxy, predict, predict_arrays

ROWS, FEATURES, REPEATS = 1_000_000, 30, 5


def main() -> None:
    """Fit on 20,000 rows, score, print the best repeat: by the clock, and of processor (other load does not
    move it).
    """
    options(__doc__).parse_args()
    rng = np.random.default_rng(0)
    names = tuple(f"f{i}" for i in range(FEATURES))
    table = pa.table({name: rng.normal(size=ROWS) for name in names})
    sample = table.slice(0, 20_000)
    feeling = sample["f0"].to_numpy() + rng.logistic(size=sample.num_rows)
    answers = pa.array(1.0 + np.searchsorted([-1.5, -0.5, 0.4, 1.6], feeling))
    sample = sample.append_column("return", answers)
    fitted = fit_proxy(sample, ProxySettings(names))
    for method in ("none", "beta", "isotonic"):
        proxy = calibrate_proxy(fitted, sample, method)
        spent = [timed(partial(predict, proxy, table)) for _ in range(REPEATS)]
        wall, busy = (min(times) for times in zip(*spent, strict=True))
        text = f"{wall:.3f} s by the clock, {busy:.3f} s of processor"
        print(f"calibrator {method:9s} {ROWS:,} rows x {FEATURES}: {text}", flush=True)
    x = rng.normal(size=(500, FEATURES))
    spent = [timed(lambda: predict_arrays(proxy, x)) for _ in range(200)]
    print(f"one request of 500 candidates: {1e3 * min(item[0] for item in spent):.3f} ms")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call by the clock, and of processor."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


if __name__ == "__main__":
    command(main)
