"""Seconds of every adjuster on 1 M candidates in 10,000 requests, with ids as text, beside a bare sort of the
same table.

python -m benchmarks.retention.adjusters [--requests 10000] [--items 100]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
from recipes.common import command, options

from tastemaker.retention.adjust.apply import adjust
from tastemaker.retention.adjust.effects import rank_effects, tune_weight
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Rule, Step, Value


def candidates(requests: int, items: int) -> pa.Table:
    """Random scores and probabilities; four attributes of forty each."""
    rng = np.random.default_rng(0)
    n = requests * items
    p = rng.beta(2, 1.5, n)
    tags = np.array([f"t{number}" for number in range(40)])[rng.integers(0, 40, (n, 4))]
    return pa.table(
        {
            "request_id": np.repeat([f"r{number}" for number in range(requests)], items),
            "item_id": [f"i{number}" for number in range(n)],
            "score": rng.normal(size=n),
            "p_pos": p,
            "p_neg": (1 - p) * 0.7,
            "attributes": pa.ListArray.from_arrays(
                np.arange(0, 4 * n + 1, 4, dtype=np.int32), pa.array(tags.ravel())
            ),
        }
    )


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Best wall time of a few repeats."""
    results = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        results.append(time.perf_counter() - begun)
    return min(results)


def main() -> None:
    """Print one row a rule."""
    reader = options(__doc__)
    reader.add_argument("--requests", type=int, default=10_000)
    reader.add_argument("--items", type=int, default=100)
    arguments = reader.parse_args()
    table = candidates(arguments.requests, arguments.items)
    frame = pl.DataFrame(table.select(["request_id", "item_id", "score"]))
    bare = seconds(lambda: frame.sort("request_id", "score", "item_id"))
    print(
        f"{table.num_rows:,} rows, {arguments.requests:,} requests; sorting the table alone: {bare:.2f} s\n"
    )
    print("| rule | seconds | times the bare sort |\n|---|---|---|")
    rules: dict[str, Rule] = {
        "step": Step(),
        "hinge": Hinge(),
        "value": Value(),
        "capped step": Capped(Step(), 5),
        "constrained": Constrained(0.02),
    }
    for name, rule in rules.items():
        taken = seconds(partial(adjust, table, rule), 1 if name == "constrained" else 3)
        print(f"| {name} | {taken:.2f} | {taken / bare:.1f} |", flush=True)
    after = adjust(table, Step())
    plain = table.drop_columns(["attributes"])
    for name, work in (
        ("effects of a rule, no diversity", lambda: rank_effects(plain, after)),
        ("tune one weight", lambda: tune_weight(plain, 0.02)),
    ):
        taken = seconds(work, 1)
        print(f"| {name} | {taken:.2f} | {taken / bare:.1f} |", flush=True)


if __name__ == "__main__":
    command(main)
