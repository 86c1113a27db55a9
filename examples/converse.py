"""From a catalogue to checked conversations as rows to train a chat model on, offline.

python examples/converse.py
"""

import tempfile
from pathlib import Path

import polars as pl

from tastemaker import converse
from tastemaker.flows.ingest import ingest_files
from tastemaker.store import Workspace

# A shop of 160 things and 60 people. With tables of your own: ingest_files(shop, "items.csv", "log.csv").
shop = Path(tempfile.mkdtemp()) / "shop"
items, log, n = shop.with_name("items.parquet"), shop.with_name("log.csv"), range(160)
colours, sizes, stuff = (
    ("red", "green", "blue", "gold"),
    ("small", "middling", "large"),
    ("wood", "wool", "clay"),
)
facts = [[f"colour={colours[i % 4]}", f"size={sizes[i % 3]}", f"material={stuff[i * i // 7 % 3]}"] for i in n]
titles = [f"Thing number {i}" for i in n]
pl.DataFrame({"item_id": [f"I{i}" for i in n], "title": titles, "attributes": facts}).write_parquet(items)
plays = [(f"U{user}", f"I{(user * 13 + k * k) % 160}", k) for user in range(60) for k in range(8)]
pl.DataFrame(plays, ["user_id", "item_id", "position"], orient="row").write_csv(log)
Workspace.create(shop)
ingest_files(shop, items, log)

data = converse.generate(shop, converse.RunSettings(n=40, media="none"))
for turn in next(iter(data)).turns[:3]:
    print(f"{turn.message}\n    {turn.reply} ({turn.n_fit} fit)")
print(data.audit().text)
print("rows to train on:", data.export("chat"))
