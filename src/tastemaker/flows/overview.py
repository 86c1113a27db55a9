"""What an operator looks at: one JSON-ready dictionary for each part of a workspace, as the commands compute
it. A part that cannot be told says why, and leaves the others alone.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.chat import Journal
from tastemaker.errors import InputError, TastemakerError
from tastemaker.experiment.checks import srm
from tastemaker.experiment.effects import effects
from tastemaker.experiment.moments import Metric, moments
from tastemaker.experiment.readout.logs import Window, unit_table
from tastemaker.experiment.readout.words import effect_rows
from tastemaker.flows.anomalies import anomalies
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.deploy import active, listed
from tastemaker.flows.explore.ledger_store import LedgerStore
from tastemaker.flows.explore.live import show
from tastemaker.flows.retention.live.context import KIND as PROXY
from tastemaker.flows.retention.live.context import SHARES, deployed, learnt_from, load_deployed
from tastemaker.store import Database, Surveys, Workspace, read_lines
from tastemaker.store.files import plain
from tastemaker.store.folders import read_file

Part = dict[str, Any]
CROWDED, CODES, NEIGHBOURS = 2.0, 60, 4  # see `catalogue`: codes shown, the fullest first, and items of each
MEASURED = [
    Metric("returned", covariate="before"),
    *(Metric(name, covariate="before") for name in ("lists", "plays", "likes")),
    Metric("skips", covariate="before", better="down"),
]


def part(workspace: Workspace, name: str) -> Part:
    """One part, or `{"reason": ...}` where it cannot be told. Raises InputError for no part's name."""
    if name not in PARTS:
        raise InputError(f"'{name}' is no part of the overview; choose {', '.join(PARTS)}")
    try:
        figures: Part = plain(PARTS[name](workspace))
    except TastemakerError as error:
        return {"reason": str(error)}
    return figures


def data_health(workspace: Workspace) -> Part:
    """What the last ingest understood and refused, and who pushes what on the server."""
    folder = workspace.tables_folder()
    rows = [
        {name: report[name] for name in ("source", "rows", "accepted", "refused", "reasons", "notes")}
        | {"table": table}
        for table, report in json.loads(read_file(folder, "report.json")).items()
    ]
    findings = [asdict(finding) for finding in anomalies(workspace)]
    return {"tables": folder.name, "rows": rows, "findings": findings}


def deployments(workspace: Workspace) -> Part:
    """Those that are kept, the newest first, with the age of each model in days."""
    rows = listed(workspace.root)["deployments"]
    now = datetime.now(UTC)
    for row in rows:
        row["age_days"] = round((now - datetime.fromisoformat(row["created"])).total_seconds() / 86400, 2)
    return {"rows": rows, "active": next((row["name"] for row in rows if row["active"]), "")}


def ledger(workspace: Workspace) -> Part:
    """What was promised, earned, spent and is left."""
    return {
        name: value for name, value in show(LedgerStore.of(workspace.root, None)).items() if name != "text"
    }


def experiment(workspace: Workspace) -> Part:
    """The running test: people in each arm, the sample ratio, and what they did in a day. The intervals are
    for one look: they say nothing of stopping early.
    """
    name = workspace.settings.experiment
    if not name:
        raise InputError("no test is set; `experiment` in tastemaker.toml names one")
    with Database(workspace.database) as database:
        logs = Surveys(database).exposures(name), database.events_table(), database.slates_table()
    arms = logs[0]["arm"].to_pylist()
    counts = {arm: arms.count(arm) for arm in SHARES}
    if not arms:
        raise InputError(f"'{name}': nobody was exposed yet")
    ratio = srm(counts, SHARES)
    about: Part = {"experiment": name, "counts": counts, "ratio": ratio.reason, "ratio_alarm": ratio.alarm}
    try:
        table = unit_table(*logs, name, SHARES, Window(1, complete=False), workspace.event_rules())
        estimates = effects(moments(table, MEASURED), MEASURED, "control", "treatment")
    except InputError as error:
        return about | {"rows": [], "reason": str(error)}
    return about | {"rows": effect_rows(estimates), "units": table.num_rows}


def surveys(workspace: Workspace) -> Part:
    """Who answers, which proxy ranks, and what its last report said of its calibration."""
    with Database(workspace.database) as database:
        (questions, answered), mark = Surveys(database).count(), deployed(database)
        newest = database.newest_deployment(PROXY)
    response = answered / questions if questions else None
    proxy = None
    if mark is not None and newest is not None:
        proxy = {"name": mark, "since": newest.timestamp.isoformat(timespec="seconds")}
        proxy["learnt_from"] = learnt_from(load_deployed(workspace, mark))
    return {
        "asked": questions,
        "answered": answered,
        "response": response,
        "proxy": proxy,
        "report": _last(workspace),
    }


def _last(workspace: Workspace) -> Part | None:
    """The newest report of a proxy: its verdict and its first table."""
    reports = sorted(workspace.runs.glob(f"*-{PROXY}*/report.json"))
    if not reports:
        return None
    claim = json.loads(reports[-1].read_text())
    verdict = {name: claim[name] for name in ("claim", "verdict", "because")}
    return verdict | {
        "at": reports[-1].parent.name[:15],
        "table": claim["tables"][0] if claim["tables"] else None,
    }


def conversations(workspace: Workspace) -> Part:
    """Data sets of conversations, each with its last audit."""
    rows = []
    for path in sorted((workspace.root / "conversations").glob("*/conversations.parquet")):
        folder = RunFolder.of(workspace, path.parent.name)
        row: Part = {"name": path.parent.name, "conversations": pq.ParquetFile(path).metadata.num_rows}
        if folder.audit.exists():
            audit = json.loads(folder.audit.read_text())
            row |= {"audit": "passed" if audit["ok"] else "failed", "pool": audit["pool"]["ok"]}
            row |= {name: audit["turns"].get(name) for name in ("precision", "recall", "wording")}
        else:
            row["audit"] = "not audited"
        rows.append(row)
    return {"rows": rows}


def catalogue(workspace: Workspace) -> Part:
    """The items served, by the first code of their Semantic IDs: how full each code is, and the neighbours in
    it that are played most. Crowded: more than `CROWDED` times the even share of the codes in use.
    """
    current = active(workspace)
    if current is None:
        raise InputError("nothing is served yet")
    items, arrays = current.catalogue_items(), current.arrays()
    plays = np.zeros(items.num_rows, np.int64)
    counts = workspace.table("interactions", tables=current.catalogue)["item_id"].value_counts()
    known = dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))
    plays += np.array([known.get(item, 0) for item in items["item_id"].to_pylist()], np.int64)
    first, size = arrays["codes"][:, 0], int(arrays["sizes"][0])
    fill, events = np.bincount(first, minlength=size), np.bincount(first, plays, size)
    crowded = fill > CROWDED * items.num_rows / max(1, np.count_nonzero(fill))
    order = np.lexsort((-plays, first))
    starts = np.r_[0, np.cumsum(fill)]
    shown = items.select(["item_id", "title"]).append_column("has_image", items["image"].is_valid())
    rows = []
    for code in np.argsort(-fill, kind="stable")[:CODES]:
        best = order[starts[code] : starts[code + 1]][:NEIGHBOURS]
        if len(best):
            rows.append(
                {"code": int(code), "items": int(fill[code]), "events": int(events[code])}
                | {"crowded": bool(crowded[code]), "neighbours": shown.take(pa.array(best)).to_pylist()}
            )
    return {
        "items": items.num_rows,
        "codes": size,
        "dead": int((fill == 0).sum()),
        "crowded": int(crowded.sum()),
        "without an event": int((plays == 0).sum()),
        "rows": rows,
    }


def cost(workspace: Workspace) -> Part:
    """What this server used since it started, what lies on the disk, and what conversations were paid for."""
    resources = resource.getrusage(resource.RUSAGE_SELF)
    rows: list[Part] = []
    for place in (workspace.artifacts.root, workspace.data, workspace.runs, workspace.root / "conversations"):
        for folder in sorted(place.glob("*")) if place == workspace.artifacts.root else [place]:
            sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
            if sizes:
                name = folder.relative_to(workspace.root).as_posix()
                rows.append({"what": name, "files": len(sizes), "megabytes": round(sum(sizes) / 1e6, 1)})
    calls = tokens = 0
    for journal in (workspace.root / "conversations").glob("*/journal.jsonl"):
        usage, count = Journal(lambda line: None, read_lines(journal), {}, "always").billed()
        calls, tokens = calls + count, tokens + usage.total
    return {
        "processor seconds": round(resources.ru_utime + resources.ru_stime, 1),
        "peak megabytes": round(resources.ru_maxrss / 1024, 1),
        "paid calls of conversations": calls,
        "their tokens": tokens,
        "rows": rows,
    }


PARTS: Mapping[str, Callable[[Workspace], Part]] = {
    "data": data_health,
    "deployments": deployments,
    "ledger": ledger,
    "experiment": experiment,
    "surveys": surveys,
    "conversations": conversations,
    "catalogue": catalogue,
    "cost": cost,
}
