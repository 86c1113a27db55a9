"""The running test of a workspace as a table for `tastemaker experiment read`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.experiment.readout.logs import RETURN, Window, cut_of, unit_table
from tastemaker.flows.retention.live.deployed import SHARES
from tastemaker.store import Database, Surveys, Workspace, write_table
from tastemaker.store.database.surveys import DIFFERS
from tastemaker.store.remote import uploaded


def export_trial(workspace: Path, out: str | Path, experiment: str = "", days: int = 14) -> dict[str, Any]:
    """`tastemaker experiment export`: one row a person exposed; exposures.parquet beside it, for `experiment
    check`.
    """
    opened = Workspace.open(workspace)
    name = experiment or opened.settings.experiment
    if not name:
        raise InputError(
            f'{workspace}: no test is set; write experiment = "rr-1" into tastemaker.toml, or give'
            " --experiment"
        )
    database = Database(opened.database)
    try:
        exposures, differing = (Surveys(database).exposures(log) for log in (name, name + DIFFERS))
        logs = exposures, database.events_table(), database.slates_table()
    finally:
        database.close()
    table = unit_table(*logs, name, SHARES, Window(days), opened.event_rules())
    cut = cut_of(table)
    if differing.num_rows:  # a test that began with version 0.1 did not log it
        differs = pc.is_in(table["user_id"], differing["unit"].combine_chunks())
        table = table.append_column("would_differ", differs.cast("int64"))
    log = f"{out}"[: -len(PurePosixPath(out).name)] + "exposures.parquet"
    for place, rows in ((out, table), (log, exposures)):
        with uploaded(place) as path:
            write_table(path, rows)
    counts = {item["values"]: item["counts"] for item in table["arm"].value_counts().to_pylist()}
    message = ", ".join(f"{arm} {count:,}" for arm, count in sorted(counts.items()))
    return {
        "table": str(out),
        "exposures": log,
        "counts": counts,
        "cut": cut,
        "text": (
            f"'{name}': {message}; {cut:,} left out because their {days} days are not in the log in"
            f" full\nreturned: seen again {RETURN[0]} to {RETURN[1]} hours after the first list\ntable:"
            f" {out}\nlog: {log}"
        ),
    }
