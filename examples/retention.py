"""From survey answers to a calibrated proxy of the answer: weights, validity, thresholds that keep a promise.

python examples/retention.py
"""

import pyarrow as pa

from tastemaker import retention
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, draw_pairs, ranker_features

# 40,000 simulated listeners, of whom some were asked and some answered. With tables of your own: one row a
# shown item with user_id, item_id, the ranker's features, asked_probability, and the answers.
world = ListenerWorld.of("item", listeners=40_000, answer_rate=0.4, answer_by_activity=0.6)
shown = ask(world, ranker_features(world, draw_pairs(world, draw_listeners(world, 0), 0), 0), 0)
asked = shown.filter(shown["asked"]).append_column("answer", shown.filter(shown["asked"])["return"])

weights, claim = retention.weights_claim(asked, ["events_28d"], threshold=3.0)
print(f"{claim.claim}: {claim.verdict}. {claim.because}")
rows = asked.append_column("weight", pa.array(weights.weight))
settings = retention.ValiditySettings(("return", "worth"), events=("like",), resamples=60)
_, claim = retention.validity_claim(rows, settings)
print(f"{claim.claim}: {claim.verdict}. {claim.because}")

fit, middle, test = (retention.rows_of(rows, part, 0) for part in ("fit", "calibrate", "test"))
features = retention.ProxySettings(("base_score", "p_like", "item_rate"), weight="weight")
proxy = retention.calibrate_proxy(retention.fit_proxy(fit, features), middle, "beta")
proxy = retention.choose_thresholds(proxy, test)
claim = retention.calibration_claim(retention.calibration(proxy, test), proxy)
print(f"{claim.claim} {claim.verdict}. {claim.because}")
print(retention.threshold_claim(proxy).because)
