"""A shop of tables in memory: learnt, compared with counting, and asked for five things for one customer.

python examples/recommend.py
"""

import random
import tempfile

import tastemaker as tm

random.seed(0)
colours = ["red", "green", "blue"]
items = [
    {"item_id": f"I{i}", "title": f"A {colours[i % 3]} thing", "attributes": [f"colour={colours[i % 3]}"]}
    for i in range(60)
]
events = [
    {"user_id": f"U{user}", "item_id": f"I{(start + 3 * day) % 60}", "kind": "purchase", "position": day}
    for user in range(120)
    for start in [random.randrange(60)]
    for day in range(8)
]

# With files: ingest(items="items.parquet", interactions="events.csv"); pandas, polars and Arrow tables do
# too.
shop = tm.Workspace.create(tempfile.mkdtemp() + "/shop", {"text_view": "tfidf"}, quiet=True)
shop.ingest(items=items, interactions=events).train()
print(shop.evaluate(baselines=["popularity"]).select(["system", "R@10", "R@10 low", "R@10 high"]).to_pylist())
for row in shop.recommend("U7", k=5, exclude=["I1"]).to_pylist():
    print(row["item_id"], round(row["score"], 2), row["propensity"], "; ".join(row["reasons"]))
