"""What training and serving read: a workspace's tables, and the events its server stored, as arrays."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

import tastemaker.schema as schema
from tastemaker.corpus.events import Histories, histories, taste
from tastemaker.corpus.splits import Split, leave_one_out, time_split
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.anomalies import capped
from tastemaker.schema import EventRules
from tastemaker.stats.random import hashed_order
from tastemaker.store import Database, Workspace, fingerprint, read_table, write_bytes, write_table
from tastemaker.store.files import sha256_bytes
from tastemaker.store.folders import remove_folder, sealed, unsealed
from tastemaker.store.ingest import origin
from tastemaker.store.ingest.facts import fact_name

ORDER_KEY = "item order"
BARE = "attribute"  # the field of attributes that name none, where no column of the file gives it a name
MAKERS = 10_000  # creators up to which they are a field
DAY = re.compile(r"=\d{4}-\d\d-\d\d$")  # an attribute that is a day
EVENTS = "events"  # kind of artifact that keeps what training read of the server's events
POINTER = "training.json"


@dataclass(frozen=True)
class Snapshot:
    """What was learnt from: fingerprints of the tables, and of the server's events ("" without any)."""

    tables: str
    events: str = ""

    @property
    def inputs(self) -> dict[str, str]:
        """As inputs of an artifact."""
        return {name: mark for name, mark in asdict(self).items() if mark}


@dataclass(frozen=True)
class Names:
    """What the fields of items are called that are not in their attributes as `field=value`: by the columns
    of the file they came from. bare: of attributes without a field; flags: those of them that were columns
    of their own, and stay under `BARE`.
    """

    bare: str = BARE
    creator: str = "creator"
    year: str = "year"
    date: str = "date"
    flags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, workspace: Workspace, tables: str = "") -> Names:
        """Those of the tables in use, or of earlier `tables`."""
        source = origin(workspace.tables_folder(tables))
        called = {part: fact_name(column) for part, column in source["columns"].items()}
        bare, year = called.get("attributes", ""), called.get("created_at", "")
        return cls(
            bare if bare != "attributes" and bare else BARE,
            called.get("creator") or "creator",
            year if "year" in year.split("_") else "year",
            re.sub(r"_(?:date|day|at|on)$", "", year) or "date",
            flags=frozenset(map(fact_name, source["flags"])),
        )

    def field(self, attribute: str) -> tuple[str, str]:
        """The field and the value of an attribute."""
        name, separator, value = attribute.partition("=")
        return (name, value) if separator else (BARE if attribute in self.flags else self.bare, attribute)


@dataclass(frozen=True, eq=False)
class Data:
    """Items, what people wanted of them, and the split to evaluate on.

    histories: wanted items of each user, oldest first. unwanted: user id -> items they do not want. rules:
    how the workspace's events are read. split_by: how the held-out part is cut off (a setting). names: what
    fields are called.
    """

    items: pa.Table
    item_ids: list[str]
    histories: Histories
    unwanted: Mapping[str, frozenset[str]]
    rules: EventRules
    split_by: str = "leave_one_out"
    names: Names = Names()

    @cached_property
    def fields(self) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
        """`rows_by_field` of the items."""
        return rows_by_field(self.items, self.names)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id -> item index."""
        return {item: row for row, item in enumerate(self.item_ids)}

    @cached_property
    def user_row(self) -> dict[str, int]:
        """User id -> row in `histories`."""
        return {str(user): row for row, user in enumerate(self.histories.users)}

    @cached_property
    def split(self) -> Split:
        """Training, validation and test part. Raises InputError when nobody has enough events."""
        return time_split(self.histories) if self.split_by == "time" else leave_one_out(self.histories)

    @cached_property
    def training_counts(self) -> npt.NDArray[np.int64]:
        """(N,) training events of each item; all events where too few people have enough to hold any out."""
        try:
            train = self.split.train
        except InputError:  # what is served without a model needs no split
            train = self.histories
        return train.counts(len(self.item_ids))


def load_data(
    workspace: Workspace,
    snapshot: Snapshot | None = None,
    items: pa.Table | None = None,
    events: pa.Table | None = None,
) -> Data:
    """Read and check tables and events, and pack histories.

    snapshot: which ones; by default the tables in use without events. items: the catalogue in its order; by
    default that of the tables, in keyed-hash order, which carries no information. events: further events of
    the server. Events of other items are left out.
    """
    snapshot = snapshot or Snapshot(workspace.tables_fingerprint())
    if items is None:
        items = workspace.table("items", tables=snapshot.tables)
        items = items.take(pa.array(hashed_order(items["item_id"].to_pylist(), ORDER_KEY)))
    rules = workspace.event_rules(snapshot.tables)
    interactions = workspace.table("interactions", tables=snapshot.tables)
    if snapshot.events:
        folder = workspace.artifacts.get(EVENTS, snapshot.events)
        events = read_table(folder / "events.parquet", schema.INTERACTIONS)
    if events is not None:
        interactions = after(interactions, events)
    known = pc.is_in(interactions["item_id"], value_set=items["item_id"].combine_chunks())
    wanted, unwanted = taste(interactions.filter(known), rules)
    refused: dict[str, set[str]] = {}
    for user, item in zip(unwanted["user_id"].to_pylist(), unwanted["item_id"].to_pylist(), strict=True):
        refused.setdefault(user, set()).add(item)
    item_ids = items["item_id"].to_pylist()
    split_by = workspace.settings.split
    people = {user: frozenset(ids) for user, ids in refused.items()}
    worth = None
    if {"kind", "value"} <= set(wanted.column_names) and wanted["kind"].null_count < len(wanted):
        worth = rules.worth(wanted["kind"], wanted["value"])
    past = histories(wanted, item_ids, worth=worth)
    return Data(items, item_ids, past, people, rules, split_by, Names.of(workspace, snapshot.tables))


def after(interactions: pa.Table, events: pa.Table) -> pa.Table:
    """The server's events behind those of the table; one in both (person, item, time) counts once."""
    end = (pc.max(interactions["position"]).as_py() or 0) + 1
    recorded = pl.DataFrame(pl.from_arrow(events)).with_columns(pl.col("position") + end)
    table = pl.DataFrame(pl.from_arrow(interactions))
    new = recorded.join(table, on=["user_id", "item_id", "timestamp"], how="anti").select(
        interactions.column_names
    )
    return pa.concat_tables([interactions, new.to_arrow().cast(interactions.schema)])


def take_snapshot(workspace: Workspace) -> Snapshot:
    """What training is to learn from now, kept as it is: a training that goes on later reads the same.

    The tables in use, and the events of the server that say what a person wants or does not. While a training
    is unfinished on the same tables, its snapshot is given again, however many events came since.
    """
    tables, begun = workspace.tables_fingerprint(), _pointer(workspace)
    if begun is not None and begun[0].tables == tables and not begun[1]:
        return begun[0]
    snapshot = Snapshot(tables, _keep_events(workspace))
    _point(workspace, snapshot, finished=False)
    return snapshot


def finish_snapshot(workspace: Workspace, snapshot: Snapshot) -> None:
    """The training of the snapshot has ended: the next one looks for new events. Earlier snapshots go."""
    _point(workspace, snapshot, finished=True)
    for artifact in workspace.artifacts.finished():
        if artifact.kind == EVENTS and artifact.fingerprint != snapshot.events:
            remove_folder(artifact.path)


def last_snapshot(workspace: Workspace) -> Snapshot | None:
    """What the newest training learnt from, or learns; None before the first one or when it is gone."""
    begun = _pointer(workspace)
    return None if begun is None else begun[0]


def telling_events(workspace: Workspace, tables: str = "") -> pa.Table:
    """What the server stored of people who want something of the catalogue (of `tables`) or do not, undone
    events left out, as `schema.INTERACTIONS`; of one person no more than `anomalies.capped` lets count.
    """
    if not workspace.database.exists():
        return schema.INTERACTIONS.empty_table()
    with Database(workspace.database) as database:
        events = database.events_table()
    signs = workspace.event_rules(tables).signs(events["kind"], events["value"])
    known = pc.is_in(
        events["item_id"], value_set=workspace.table("items", tables=tables)["item_id"].combine_chunks()
    )
    telling = events.filter(pc.and_(known, pa.array(np.asarray(signs) != 0)))
    return capped(workspace.tombstones.without(telling)[0])


def events_mark(events: pa.Table) -> str:
    """The fingerprint of what the events say; "" when there are none."""
    columns = ("user_id", "item_id", "kind", "value", "timestamp")
    rows = [list(map(str, row.values())) for row in events.select(columns).to_pylist()]
    return fingerprint(EVENTS, {"rows": sha256_bytes(json.dumps(rows).encode())}, None) if rows else ""


def _keep_events(workspace: Workspace) -> str:
    """The fingerprint of the artifact that holds the server's telling events; "" when there are none."""
    events = telling_events(workspace)
    mark = events_mark(events)
    if mark:
        workspace.artifacts.put(EVENTS, mark, lambda folder: write_table(folder / "events.parquet", events))
    return mark


def _pointer(workspace: Workspace) -> tuple[Snapshot, bool] | None:
    """The last snapshot and whether its training ended; None where tables or events of it are gone.

    Raises ArtifactError when the file that says so is damaged.
    """
    path = workspace.data / POINTER
    try:
        about = unsealed(path.read_bytes(), ("tables", "events", "finished"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ArtifactError(
            f"{path}: damaged; delete it, and `tastemaker train` looks anew for what to learn from"
        ) from None
    snapshot, finished = Snapshot(str(about["tables"]), str(about["events"])), bool(about["finished"])
    complete = (workspace.data / f"tables-{snapshot.tables}").is_dir()
    if snapshot.events:
        complete = complete and workspace.artifacts.has(EVENTS, snapshot.events)
    return (snapshot, finished) if complete else None


def _point(workspace: Workspace, snapshot: Snapshot, finished: bool) -> None:
    about = {"tables": snapshot.tables, "events": snapshot.events, "finished": finished}
    write_bytes(workspace.data / POINTER, sealed(about))


def positive(interactions: pa.Table) -> pa.Table:
    """Events that say what a person wants and still stand, ratings from 1 to 5: what evaluations read."""
    return taste(interactions, EventRules())[0]


def item_texts(items: pa.Table) -> list[str]:
    """`item_text` of each item."""
    return list(map(item_text, *(items[name].to_pylist() for name in ("title", "text", "attributes"))))


def item_text(title: str | None, text: str | None, attributes: Sequence[str] | None) -> str:
    """Title, text and attributes but days of an item in one string; empty where it has none of them."""
    words = [each for each in attributes or () if not DAY.search(each)]
    return ". ".join(part for part in (title, text, ", ".join(words)) if part)


def rows_by_field(items: pa.Table, names: Names = Names()) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """Fields that can be filtered on, by name and value: the rows of the items that have each, rising. They
    are the attributes, who made the items, and the year of their date, unless an attribute says the same.
    """
    fields: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    lists = items["attributes"].combine_chunks()
    for attribute, holders in _rows_of(lists.flatten(), pc.list_parent_indices(lists).to_numpy()).items():
        if DAY.search(attribute):  # nobody filters by a single day
            continue
        name, value = names.field(attribute)
        values = fields.setdefault(name, {})
        values[value] = np.sort(np.concatenate([values[value], holders])) if value in values else holders
    for name, column in _field_columns(items, names, set(fields)):
        known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        rows = _rows_of(column.drop_null(), known)
        if rows and not any(_same(rows, values) for values in fields.values()):
            fields[name] = rows
    return fields


def _field_columns(items: pa.Table, names: Names, known: set[str]) -> Iterator[tuple[str, pa.Array]]:
    """Names and values of the columns that are fields beside the attributes, whose fields are `known`."""
    if "creator" in items.column_names and names.creator not in known:
        column = items["creator"].combine_chunks()
        if pc.count_distinct(column).as_py() <= MAKERS:
            yield names.creator, column
    if "created_at" in items.column_names and not known & {names.year, "year", "decade"}:
        yield names.year, pc.year(items["created_at"]).combine_chunks().cast(pa.string())


def _rows_of(values: pa.Array, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """The rows of each of the values, which have none in them, in the order in which they first come."""
    if not len(values):
        return {}
    flat = values.dictionary_encode()
    order = np.argsort(codes := flat.indices.to_numpy(), kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(flat.dictionary)))[:-1])
    return dict(zip(flat.dictionary.to_pylist(), parts, strict=True))


def _same(left: Mapping[str, npt.NDArray[np.int64]], right: Mapping[str, npt.NDArray[np.int64]]) -> bool:
    """Whether two fields say the same of all items."""
    return left.keys() == right.keys() and all(np.array_equal(left[value], right[value]) for value in left)


def numbers_of(values: Mapping[str, object]) -> dict[str, float]:
    """The values of a field as numbers; none where one of them is no finite number."""
    try:
        numbers = {value: float(value) for value in values}
    except ValueError:
        return {}
    return numbers if all(map(math.isfinite, numbers.values())) else {}


def passing(values: Mapping[str, npt.NDArray[np.int64]], wanted: str) -> npt.NDArray[np.int64]:
    """The rows of a field's value, or, of a field of numbers, of a range of them: "20..50", "..50", "20..".

    values: the field's, as `rows_by_field` has them.
    """
    rows = [values[wanted]] if wanted in values else []
    if not rows and (span := re.fullmatch(r"(-?\d+(?:\.\d+)?)?\.\.(-?\d+(?:\.\d+)?)?", wanted)):
        low, high = (
            float(end) if end else other
            for end, other in zip(span.groups(), (-math.inf, math.inf), strict=True)
        )
        rows = [values[value] for value, number in numbers_of(values).items() if low <= number <= high]
    return np.concatenate([np.empty(0, np.int64), *rows])
