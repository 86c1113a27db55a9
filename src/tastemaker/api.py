"""The Python face: what the commands do, as methods of a workspace, with tables in and out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from tastemaker.cli.progress import progress
from tastemaker.errors import InputError, TastemakerError

if TYPE_CHECKING:
    import pyarrow as pa

    from tastemaker.serving.query import Slate
    from tastemaker.serving.service import WorkspaceService

Table = Any  # a path, or a pandas, polars or Arrow table, a mapping of columns, a list of rows
BASELINES = ("popularity", "content", "cooccurrence", "sasrec")


class Reading(TypedDict, total=False):
    """How `Workspace.ingest` reads files: encoding of text; positive: the kinds that count as wanted; scale:
    lowest and highest rating; strict: refuse at the first bad row; time_unit: what numbers in times count.
    """

    encoding: str | None
    positive: Sequence[str]
    scale: tuple[float, float] | None
    strict: bool
    time_unit: str | None


class Workspace:
    """A folder with a catalogue, what people did, and the models learnt from it.

    Every method is the command of its name, answers alike, and raises `InputError` where the command prints
    one line. `result` is what the last `ingest`, `train` or `evaluate` returned, as `--json` prints it.
    Progress goes to standard error unless `quiet`.
    """

    def __init__(self, folder: str | Path, quiet: bool = False) -> None:
        from tastemaker.store import Workspace as Store

        self.folder, self.quiet = Path(folder), quiet
        self.result: dict[str, Any] = {}
        Store.open(self.folder)

    @classmethod
    def create(
        cls, folder: str | Path, settings: Mapping[str, Any] | None = None, quiet: bool = False
    ) -> Workspace:
        """A new workspace with `settings`; InputError: the folder is not empty, a setting is not legal."""
        from tastemaker.store import Workspace as Store

        valid = isinstance(settings, Mapping) and all(isinstance(name, str) for name in settings)
        if settings is not None and not valid:
            raise InputError(f"settings={settings!r}: give a mapping of names and values, as {{'beam': 20}}")
        entries = dict(settings or {}).items()
        plain = {name: value.item() if hasattr(value, "item") else value for name, value in entries}
        try:
            Store.create(Path(folder), plain)
        except OSError as error:
            raise InputError(f"{folder}: {error.strerror}; choose another folder") from None
        return cls(folder, quiet)

    @classmethod
    def open(cls, folder: str | Path, quiet: bool = False) -> Workspace:
        """The workspace in `folder`; InputError when there is none."""
        return cls(folder, quiet)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: a copy in another process opens it anew."""
        return {name: value for name, value in self.__dict__.items() if name != "_service"}

    def __repr__(self) -> str:
        return f"Workspace({str(self.folder)!r})"

    def ingest(
        self,
        items: Table = None,
        interactions: Table = None,
        *,
        dataset: str | None = None,
        columns: Mapping[str, str] | None = None,
        **reading: Unpack[Reading],
    ) -> Workspace:
        """Read items and interactions: files, or tables in memory (pandas, polars, Arrow, a mapping of
        columns, a list of rows). Interactions alone make the catalogue, too.

        dataset: instead of both, one that a package carries. columns: part -> column, instead of a guess.
        reading: see `Reading`; the options of the command by the same names.
        """
        from tastemaker.flows.ingest import ingest_dataset, ingest_files
        from tastemaker.store.ingest import IngestSettings

        if (dataset is None) == (items is None and interactions is None):
            raise InputError("ingest needs either items and interactions, or a dataset")
        if dataset is not None:
            with progress(self.quiet) as report:
                self.result = ingest_dataset(self.folder, dataset, report)
            return self._changed()
        texts = isinstance(columns, Mapping) and all(isinstance(column, str) for column in columns.values())
        if columns is not None and not texts:
            raise InputError(f"columns={columns!r}: give a mapping, as {{'item_id': 'artistID'}}")
        if not isinstance(reading.get("positive", ()), Iterable | None):
            raise InputError(f"positive={reading['positive']!r}: give kinds, as ['like', 'purchase']")
        settings = IngestSettings(columns=dict(columns or {}), **reading)
        with ExitStack() as stack:
            tables = {"items": items, "interactions": interactions}
            paths = {name: _as_file(name, table, stack) for name, table in tables.items()}
            try:
                self.result = ingest_files(self.folder, paths["items"], paths["interactions"], settings)
            except TastemakerError as error:
                raise type(error)(_argument_named(str(error), tables, paths)) from None
        self.result = _renamed(self.result, tables, paths)
        return self._changed()

    def train(self) -> Workspace:
        """Learn from tables and server's events, refit on all, deploy; finished stages are reused."""
        from tastemaker.flows.train import run_stages

        with progress(self.quiet) as report:
            self.result = run_stages(self.folder, report)
        return self._changed()

    def recommend(
        self,
        user: str | Iterable[str] | None = None,
        k: int = 10,
        *,
        history: Sequence[str] = (),
        where: Mapping[str, str | Sequence[str]] | None = None,
        exclude: Iterable[str] = (),
        log: bool = True,
    ) -> pa.Table:
        """What the server would show now to a user, to each of several, or after a bare `history` of item ids
        (oldest first).

        where: per field the value or values that pass. exclude: item ids never to return. log: keep the slate
        as shown, with its propensities, as the server does.

        Returns a table with a row an item: user_id, position (from 0), item_id, score (log-probability, with
        what the memory and a proxy add), propensity, source, reasons (a list of sentences) and request_id,
        which an event may name. Its metadata hold the notices.

        Raises InputError naming an unknown item, field or value; ArtifactError when nothing was trained yet.
        """
        from tastemaker.serving.query import Query

        k = _count("k", k, 1, "items")
        if where is not None and not isinstance(where, Mapping):
            raise InputError(f"where={where!r}: give a mapping of fields to values, as {{'colour': 'red'}}")
        before, barred = _ids(history), _ids(exclude)
        if before is None or barred is None:
            raise InputError("history and exclude are lists of item ids, as ['I4', 'I9']")
        several = _ids(user)
        if user is not None and not isinstance(user, str) and several is None:
            raise InputError(f"user={user!r}: give a user's id as text, 'U1', or a list of such ids")
        users = [None] if user is None else [user] if isinstance(user, str) else several or []
        filters = {
            name: [values] if isinstance(values, str) else _ids(values)
            for name, values in (where or {}).items()
        }
        if wrong := [name for name, values in filters.items() if values is None]:
            raise InputError(f"where: the value of {wrong[0]!r} is text or a list of texts")
        if (user is None) == (not before):
            raise InputError("recommend needs either a user (or several), or a history")
        passing = {name: tuple(values or ()) for name, values in filters.items()}
        queries = [Query(name, tuple(before), k, passing, frozenset(barred), logged=log) for name in users]
        slates = []
        for slate in self._service.recommend_many(queries):
            if isinstance(slate, TastemakerError):
                raise slate
            slates.append(slate)
        if log:
            self._service.delivered([slate.request_id for slate in slates])
        return _table(users, slates)

    def evaluate(
        self, baselines: Sequence[str] = BASELINES, *, users: int = 0, part: str = "test"
    ) -> pa.Table:
        """Rank every item for every person held out, beside simple recommenders: a table with a row a system,
        each metric with the ends of its 95 % interval.

        users: a sample of so many, 0 for all. `result` holds intervals, slices, alarms and the report's path.
        """
        import pyarrow as pa

        from tastemaker.flows.evaluation.evaluate import evaluate_workspace

        users = _count("users", users, 0, "people")
        with progress(self.quiet) as report:
            self.result = evaluate_workspace(self.folder, baselines, part, users, report)
        rows = []
        for method in self.result["metrics"]["methods"]:
            row = {"system": method["name"]}
            for metric, interval in method["values"].items():
                row |= {metric: interval["value"]}
                row |= {f"{metric} {bound}": interval[bound] for bound in ("low", "high")}
            rows.append(row)
        return pa.Table.from_pylist(rows)

    def serve(self, host: str | None = None, port: int | None = None) -> None:
        """Serve the page and the API until interrupted."""
        from tastemaker.cli.assist import talker
        from tastemaker.server import serve
        from tastemaker.store import Workspace as Store

        settings = Store.open(self.folder).settings
        serve(self._service, host or settings.host, port or settings.port, talker=talker(self._service, None))

    @cached_property
    def _service(self) -> WorkspaceService:
        from tastemaker.serving.service import open_service

        return open_service(self.folder)

    def _changed(self) -> Workspace:
        """Answer from what is there now."""
        self.__dict__.pop("_service", None)
        return self


def _as_file(name: str, table: Table, stack: ExitStack) -> Path | str | None:
    """The path or URL given, or a file of the table given, which lasts as long as `stack`."""
    if table is None or isinstance(table, str | os.PathLike):
        return table if table is None or isinstance(table, str) else Path(table)  # a string may be a URL
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / name
    if hasattr(table, "read"):
        content = table.read()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(_arrow(table), path)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}: {type(table).__name__} is no table ({reason}); give a path, a pandas, polars or Arrow"
            " table, or rows as mappings of columns to values"
        ) from None
    return path


def _arrow(table: Table) -> pa.Table:
    """A table as one of Arrow, mixed columns as text. Raises TypeError, or Arrow's, where it is none."""
    import pyarrow as pa

    from tastemaker.store.text import as_column

    table = table.collect() if hasattr(table, "collect") else table  # a lazy frame of polars
    for method in ("to_arrow", "to_table"):  # of polars; a dataset of Arrow
        if hasattr(table, method):
            return getattr(table, method)()
    if isinstance(table, Mapping):
        return pa.table(dict(table))
    if isinstance(table, pa.Table | pa.RecordBatch | pa.RecordBatchReader) or hasattr(table, "columns"):
        try:
            return pa.table(table)
        except pa.ArrowException:  # a frame of pandas with numbers and text in one column
            if not hasattr(table, "columns") or len(set(table.columns)) < len(table.columns):
                raise
            return pa.table({str(name): as_column(table[name].tolist()) for name in table.columns})
    rows = list(table)
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("its rows are no mappings")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: as_column([row.get(name) for row in rows]) for name in names})


def _count(name: str, value: Any, least: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name}={value!r}: how many {what} is a whole number from {least}")
    return int(value)


def _ids(values: Any) -> list[str] | None:
    """The ids of a list of texts; None for what is none."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return None
    ids = values.to_pylist() if hasattr(values, "to_pylist") else list(values)  # an array of Arrow
    return ids if all(isinstance(entry, str) for entry in ids) else None


def _argument_named(text: str, tables: Mapping[str, Table], paths: Mapping[str, Path | str | None]) -> str:
    """A message about the file of a table in memory, with the name of the argument instead."""
    for name, path in paths.items():
        if path is not None and not isinstance(tables[name], str | Path):
            text = text.replace(str(path), name)
    return text


def _renamed(value: Any, tables: Mapping[str, Table], paths: Mapping[str, Path | str | None]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, tables, paths) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(inner, tables, paths) for inner in value]
    return _argument_named(value, tables, paths) if isinstance(value, str) else value


def _table(users: Sequence[str | None], slates: Sequence[Slate]) -> pa.Table:
    """The slates of the users, one below the other."""
    import pyarrow as pa

    schema = pa.schema(
        {
            "user_id": pa.string(),
            "position": pa.int64(),
            "item_id": pa.string(),
            "score": pa.float64(),
            "propensity": pa.float64(),
            "source": pa.string(),
            "reasons": pa.list_(pa.string()),
            "request_id": pa.string(),
        }
    )
    rows = []
    for user, slate in zip(users, slates, strict=True):
        about = {"user_id": user, "request_id": slate.request_id}
        for row in slate.rows:
            fields = {
                name: getattr(row, name) for name in ("position", "item_id", "score", "propensity", "source")
            }
            rows.append(about | fields | {"reasons": [reason.text for reason in row.reasons]})
    notes = [text for slate in slates for text in (slate.notice, slate.reason) if text]
    metadata = {"deployment": slates[0].deployment if slates else "", "notices": "\n".join(notes)}
    return pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata(metadata)
