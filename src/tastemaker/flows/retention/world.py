"""A simulated world of listeners as tables on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tastemaker.flows.pipeline import Report
from tastemaker.store import write_json, write_table


def simulate_listeners(
    path: str, out: Path, report: Report, settings: Mapping[str, Any], seed: int = 0
) -> dict[str, Any]:
    """`tastemaker retention simulate listeners`: listeners, rows (pairs, answers, ranker
    features, returns), surveys and slates in `out`.

    settings: fields of `ListenerWorld`. Columns true_* and files truth.* hold what no real log shows. Raises
    InputError.
    """
    from tastemaker.simulate.retention import (
        ListenerWorld,
        ask,
        draw_listeners,
        draw_pairs,
        draw_slates,
        ranker_features,
        returns,
        survey_table,
    )

    world = ListenerWorld.of(path, **settings)
    report("listeners", 0, 2, "drawing")
    listeners = draw_listeners(world, seed)
    pairs = ranker_features(world, draw_pairs(world, listeners, seed), seed)
    rows = returns(world, ask(world, pairs, seed), seed)
    report("listeners", 1, 2, "writing")
    hidden = [name for name in rows.column_names if name.startswith("true_")]
    tables = {
        "rows": rows.drop_columns(hidden),
        "truth": rows.select(["request_id", *hidden]),
        "users": listeners.select(["user_id", "low_signal", "events_28d", "history", "tenure_days"]),
        "surveys": survey_table(rows),
        "slates": draw_slates(rows, world.items),
    }
    for name, table in tables.items():
        write_table(out / f"{name}.parquet", table)
    write_json(out / "world.json", asdict(world) | {"seed": seed})
    report("listeners", 2, 2, "")
    sizes = {name: table.num_rows for name, table in tables.items()}
    words = ", ".join(f"{name} {count:,}" for name, count in sizes.items())
    text = f"simulated listeners (world '{path}', seed {seed}) in {out}: {words} rows"
    return {"world": path, "out": str(out), "rows": sizes, "text": text}
