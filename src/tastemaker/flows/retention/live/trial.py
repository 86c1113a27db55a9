"""The running test of a workspace as a table for `tastemaker experiment read`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.experiment.readout.logs import unit_table
from tastemaker.flows.retention.live.deployed import SHARES
from tastemaker.store import Database, Surveys, Workspace, write_table


def export_trial(workspace: Path, out: Path, experiment: str = "", days: int = 14) -> dict[str, Any]:
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
    exposures = Surveys(database).exposures(name)
    table = unit_table(
        exposures, database.events_table(), database.slates_table(), name, SHARES, days, opened.event_rules()
    )
    database.close()
    write_table(out, table)
    log = out.with_name("exposures.parquet")
    write_table(log, exposures)
    counts = {item["values"]: item["counts"] for item in table["arm"].value_counts().to_pylist()}
    message = ", ".join(f"{arm} {count:,}" for arm, count in sorted(counts.items()))
    return {
        "table": str(out),
        "exposures": str(log),
        "counts": counts,
        "text": f"'{name}': {message}\ntable: {out}\nlog: {log}",
    }
