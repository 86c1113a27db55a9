"""From a click log to a certificate: what the log supports, what a policy is worth, what may go live.

python examples/explore.py
"""

import numpy as np

from tastemaker import explore
from tastemaker.reports.certificate import markdown
from tastemaker.simulate.bandit import catalogue_world, draw_log

# A shop of 60 items, 12 of them new, and 20,000 rows of what it showed. With a log of your own:
# table = pyarrow.parquet.read_table("log.parquet"), and explore.Catalogue.of(...) for the items.
draws = np.random.default_rng(0)
vectors = draws.standard_normal((60, 3))
shop = catalogue_world(vectors, draws.standard_normal((400, 3)))
shown_by = explore.SoftmaxPolicy(vectors, 0.3 * np.eye(3), allowed=shop.existing)
table = draw_log(shop.world, shown_by, 20_000, key=1)

log = explore.check_log(table, explore.Columns(context=("x0", "x1", "x2")), shop.world.actions)
even = explore.uniform_policy(60, shop.existing)
print(explore.support_report(log, shop.existing, even).to_text(), "\n")
for row in explore.estimate_policy(log, even, vectors):
    print(f"{row.estimator:12} {row.of:12} {row.interval.value:8.4f}, at least {row.interval.low:.4f}")

outcome = explore.safe_opg(explore.split(log), explore.Features(vectors), shop.existing)
print(
    "\n",
    markdown([certificate.values() for certificate in outcome.certificates], outcome.passed or 0),
    sep="",
)
