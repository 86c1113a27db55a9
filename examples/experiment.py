"""An A/B test from the split to the decision: power, assignment, sample ratio, effects, guardrails.

python examples/experiment.py
"""

import numpy as np
import pyarrow as pa

from tastemaker import experiment

# What 20,000 people did for two weeks: a simulated log. With a table of your own: one row a person.
people = [f"u{number}" for number in range(20_000)]
shares = {"control": 0.5, "treatment": 0.5}
arms = experiment.assign(people, "rr-1", shares)["arm"]
print(f"{experiment.sample_size(cv=0.9, lift=0.03, correlation=0.6):,.0f} people an arm see a lift of 3 %")

draws = np.random.default_rng(0)
habit = draws.gamma(4.0, 1.0, len(people))
treated = np.array(arms.to_pylist()) == "treatment"
visits, before = draws.poisson(habit * np.where(treated, 1.05, 1.0)), draws.poisson(habit)
skips = draws.poisson(2.0, len(people))
table = pa.table({"user_id": people, "arm": arms, "visits": visits, "visits_before": before, "skips": skips})

# The plan, written before the start; as TOML it is what `tastemaker experiment read` takes.
plan = {
    "primary": ["visits"],
    "guardrails": {"skips": 0.05},
    "shares": shares,
    "metrics": {"visits": {"covariate": "visits_before"}, "skips": {"better": "down"}},
}
decision = experiment.read_out(table, experiment.design_of(plan)).decision
print(f"{decision.verdict}: {'; '.join(decision.reasons)}")
