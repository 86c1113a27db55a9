"""The log and the catalogue of `tastemaker explore`: from plain tables, or from a workspace's slates and
events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.explore.table import Columns, Log, check_log
from tastemaker.flows.data import Data
from tastemaker.flows.explore.promise import last_gate
from tastemaker.schema import ANONYMOUS, EventRules
from tastemaker.store import Database, Workspace, read_any, read_table

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
ROLES = tuple(one.name for one in fields(Columns) if one.name not in ("context", "r_max"))


@dataclass(frozen=True)
class Source:
    """Where the data is: a log table (with a catalogue table) or a workspace; which columns play which part.

    context: names of the context columns; renamed: role -> column; r_max: the largest reward there can be. Of
    a workspace: what it served after `since` (default: the last gate) up to `until` (default: now), and,
    where one is named, by that deployment.
    """

    log: Path | None = None
    actions: Path | None = None
    workspace: Path | None = None
    context: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    r_max: float = 1.0
    fit_logger: bool = False
    since: datetime | None = None
    until: datetime | None = None
    deployment: str = ""

    def columns(self) -> Columns:
        """The columns as `check_log` takes them. Raises InputError on a role that does not exist."""
        for role, _ in self.renamed:
            if role not in ROLES:
                raise InputError(
                    f"--column {role}=...: there is no such role; choose one of {', '.join(ROLES)}"
                )
        return Columns(context=self.context, r_max=self.r_max, **dict(self.renamed))


@dataclass(frozen=True, eq=False)
class Loaded:
    """log; ids of all actions; vectors (A, k); existing (A,): what pi0 may play; prefixes (A,) or None;
    source: as read.
    """

    log: Log
    ids: tuple[str, ...]
    vectors: npt.NDArray[np.float64]
    existing: npt.NDArray[np.bool_]
    prefixes: npt.NDArray[np.int64] | None
    source: Source


def load(source: Source) -> Loaded:
    """Read and check everything. Raises InputError naming file, row, column and remedy."""
    if (source.log is None) == (source.workspace is None):
        raise InputError("give either --log with a table, or --workspace")
    if source.workspace is not None:
        return _from_workspace(source, source.workspace)
    assert source.log is not None
    table = read_any(source.log)
    columns = source.columns()
    catalogue = read_any(source.actions) if source.actions is not None else _seen(table, columns.action)
    try:
        return _loaded(table, catalogue, columns, source)
    except InputError as error:
        raise InputError(f"{source.log}: {error}") from None


def _seen(table: pa.Table, name: str) -> pa.Table:
    """A catalogue of the logged actions alone."""
    if name not in table.column_names:
        raise InputError(f"column '{name}' is missing; name the action column with --column action=NAME")
    return pa.table({"action": sorted({str(one) for one in table.column(name).to_pylist()})})


def _loaded(table: pa.Table, catalogue: pa.Table, columns: Columns, source: Source) -> Loaded:
    if "action" not in catalogue.column_names:
        raise InputError(
            "the table of actions needs a column 'action' with the ids (and 'vector' or v0, v1 ..., 'prefix',"
            " 'new')"
        )
    ids = tuple(str(one) for one in catalogue.column("action").to_pylist())
    if len(set(ids)) != len(ids):
        raise InputError("the table of actions names one twice; keep one row each")
    log = check_log(table, columns, ids, fit_logger=source.fit_logger)
    # Of rows that a mixture logged, only those pi0 may have drawn say what pi0 plays.
    existing = (
        np.bincount(
            log.action if log.reference is None else log.action[log.reference > 0], minlength=len(ids)
        )
        > 0
    )
    if "new" in catalogue.column_names:
        existing = ~np.asarray(catalogue.column("new").to_pylist(), dtype=bool)
    prefixes = None
    if "prefix" in catalogue.column_names:
        names = np.asarray([str(one) for one in catalogue.column("prefix").to_pylist()])
        prefixes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return Loaded(log, ids, _vectors(catalogue, len(ids)), existing, prefixes, source)


def _vectors(catalogue: pa.Table, count: int) -> npt.NDArray[np.float64]:
    """(A, k) from the column `vector` or columns v0, v1 ...; without either, one indicator an action."""
    if "vector" in catalogue.column_names:
        rows = catalogue.column("vector").to_pylist()
        if len({len(one or ()) for one in rows}) != 1:
            raise InputError("column 'vector' of the actions: every action needs a vector of the same length")
        return np.asarray(rows, dtype=np.float64)
    names = [name for name in catalogue.column_names if name[:1] == "v" and name[1:].isdigit()]
    if names:
        return np.column_stack([catalogue.column(name).to_numpy() for name in names]).astype(np.float64)
    if count > 512:
        raise InputError(
            f"{count} actions without vectors: add a column 'vector' to --actions, so that actions share"
            " evidence"
        )
    return np.eye(count)


def _from_workspace(source: Source, root: Path) -> Loaded:
    """Slates at the first position, joined to events by request and item: 1 for an event that counts as a
    success.
    """
    from tastemaker.flows.pipeline import Pipeline
    from tastemaker.flows.stages.tokens import load_codes

    workspace = Workspace.open(root)
    chain = Pipeline(workspace, lambda *_: None)
    source, rows = _served(workspace, source)
    table = read_table(chain.path("vectors") / "text.parquet")
    vectors = _reduced(np.asarray(table.column("vector").to_pylist(), dtype=np.float64))
    codes, _ = load_codes(chain)
    context = contexts([row["user_id"] for row in rows], chain.data, vectors)
    names = tuple(f"x{number}" for number in range(context.shape[1]))
    # Nobody knows who sends a bare history, so each such request is a unit of its own.
    raw = pa.Table.from_pylist(
        [row | {"user_id": row["request_id"]} if row["user_id"] == ANONYMOUS else row for row in rows]
    )
    beside = raw["reference_propensity"]
    if 0 < beside.null_count < len(raw):  # where pi0 served alone, the propensity is what it gave
        raw = raw.drop_columns(["policy_propensity", "reference_propensity"])
        raw = raw.append_column("reference_propensity", pc.coalesce(beside, raw["propensity"]))
    for number, name in enumerate(names):
        raw = raw.append_column(name, pa.array(context[:, number]))
    catalogue = pa.table({"action": chain.data.item_ids, "vector": list(vectors), "prefix": codes[:, 0]})
    return _loaded(raw, catalogue, Columns(context=names, r_max=source.r_max), source)


def _served(workspace: Workspace, source: Source) -> tuple[Source, list[dict[str, Any]]]:
    """First rows of slates in the order they were served, with their rewards; and the source with its times
    filled in.
    """
    database = Database(workspace.database)
    since, until = source.since or last_gate(database) or BEGINNING, source.until or datetime.now(UTC)
    slates, events = database.slates_table().to_pylist(), database.events_table().to_pylist()
    database.close()
    reward = _rewards([one for one in events if one["timestamp"] <= until], workspace.event_rules())
    rows = [
        row | {"action": row["item_id"], "reward": reward.get((row["request_id"], row["item_id"]), 0.0)}
        for row in slates
        if row["position"] == 0
        and since < row["timestamp"] <= until
        and row["policy_id"].startswith(source.deployment)
    ]
    if not rows:
        what = f"by deployment {source.deployment}" if source.deployment else f"since {since:%Y-%m-%d %H:%M}"
        raise InputError(
            f"{workspace.root}: no slate was served {what}; serve with `exploration` above 0 in"
            " tastemaker.toml and collect some"
        )
    return replace(source, since=since, until=until), rows


def _rewards(events: Sequence[dict[str, Any]], rules: EventRules) -> dict[tuple[str, str], float]:
    """What each shown item earned, by request and item: the best of its events, nothing once it was
    refused.
    """
    earned: dict[tuple[str, str], float] = {}
    for event in sorted(events, key=lambda event: event["timestamp"]):
        about = event["request_id"], event["item_id"]
        refused = rules.sign(event["kind"], event["value"]) < 0
        best = max(earned.get(about, 0.0), rules.reward(event["kind"], event["value"]))
        earned[about] = 0.0 if refused else best
    return earned


def _reduced(vectors: npt.NDArray[np.float64], width: int = 16) -> npt.NDArray[np.float64]:
    """(A, at most width) the strongest directions of the vectors, without those that are rounding alone."""
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= width:
        return vectors
    strongest = TruncatedSVD(width, random_state=0).fit(np.nan_to_num(vectors))
    found: npt.NDArray[np.float64] = strongest.transform(np.nan_to_num(vectors))
    return found[:, strongest.singular_values_ > 1e-6 * strongest.singular_values_[0]]


def contexts(users: Sequence[str], data: Data, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, k) mean vector of what each user's ingested history holds; zeros for a bare history."""
    rows = [data.histories.of(data.user_row[user]) if user in data.user_row else () for user in users]
    return np.stack(
        [vectors[np.asarray(row)].mean(axis=0) if len(row) else np.zeros(vectors.shape[1]) for row in rows]
    )
