"""From a click log to a certificate: what the log supports, what a policy is worth, what may go live.

python examples/explore.py
"""

import numpy as np
import pyarrow as pa

from tastemaker import explore
from tastemaker.reports.certificate import markdown

# A shop of 60 items, 12 of them new, and 20,000 rows of what it showed. With a log of your own:
# table = pyarrow.parquet.read_table("log.parquet"), and explore.Catalogue.of(...) for the items.
draws = np.random.default_rng(0)
vectors, items = draws.standard_normal((60, 3)), [f"item{number:02d}" for number in range(60)]
existing = draws.permutation(60) >= 12
shown_by = explore.SoftmaxPolicy(vectors, 0.3 * np.eye(3), allowed=existing)
context = draws.standard_normal((20_000, 3))
action = shown_by.sample(context, 1, "log")[:, 0]
taste = (context * vectors[action]).sum(axis=1) / np.sqrt(3)
columns = {f"x{number}": context[:, number] for number in range(3)} | {
    "action": np.asarray(items)[action],
    "reward": (draws.random(20_000) < 1 / (1 + np.exp(0.5 - 0.5 * taste))).astype(float),
    "propensity": np.exp(shown_by.log_prob(context, action)),
}

log = explore.check_log(pa.table(columns), explore.Columns(context=("x0", "x1", "x2")), items)
even = explore.uniform_policy(60, existing)
print(explore.support_report(log, existing, even).to_text(), "\n")
for row in explore.estimate_policy(log, even, vectors):
    print(f"{row.estimator:12} {row.of:12} {row.interval.value:8.4f}, at least {row.interval.low:.4f}")

outcome = explore.safe_opg(explore.split(log), explore.Features(vectors), existing)
print("\n", markdown([item.values() for item in outcome.certificates], outcome.passed or 0), sep="")
