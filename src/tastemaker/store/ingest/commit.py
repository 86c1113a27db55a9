"""From files to the tables of a workspace, both replaced at once: a new sealed folder and a pointer to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import tastemaker.schema as schema
import tastemaker.store.ingest.layout as layout
import tastemaker.store.ingest.shapes as shapes
from tastemaker.errors import ArtifactError, InputError, in_file
from tastemaker.store.artifacts import fingerprint
from tastemaker.store.files import canonical, sha256_bytes, sha256_file, write_bytes, write_json
from tastemaker.store.folders import read_file, read_manifest, verify_folder, write_folder
from tastemaker.store.ingest.catalogue import best_id_columns, catalogue_of
from tastemaker.store.ingest.columns import INTERACTION_NAMES, ITEM_NAMES, PEOPLE, candidates, squeezed
from tastemaker.store.ingest.facts import without_people
from tastemaker.store.ingest.guesses import ids_of, likely_people
from tastemaker.store.ingest.report import described, origin
from tastemaker.store.ingest.rows import IngestSettings
from tastemaker.store.ingest.rules import ingest_interactions, ingest_items
from tastemaker.store.recorded import record_media
from tastemaker.store.tables import Source, as_source, read_source, write_table
from tastemaker.store.tombstones import Tombstones
from tastemaker.store.workspace import Workspace

TABLES = ("items.parquet", "interactions.parquet", "events.json")  # what is learnt from and served

NONE_GIVEN = "(none given)"

_LEGAL = {  # names of which a header bears one
    "items": [squeezed(name) for part, names in ITEM_NAMES.items() for name in (part, *names)],
    "interactions": (
        [squeezed(name) for part, names in INTERACTION_NAMES.items() for name in (part, *names)]
        + [word + end for word in PEOPLE for end in ("", "id")]
    ),
}


@dataclass(frozen=True)
class Ingested:
    """The outcome of `ingest_files`: the folder of tables now in use, and a `Report.summary` for each
    table. reused: these tables were made before; changed: others were in use until now. listed: the folder
    with the rows that were refused and the cells that were left empty. replaced: what to say where the
    interactions are all later than those in use until now. log_stays: whether the interactions are those in
    use until now, whose events with items that are gone went with these.
    """

    folder: Path
    reused: bool
    changed: bool
    reports: Mapping[str, dict[str, Any]]
    listed: Path
    replaced: str = ""
    log_stays: bool = False

    @property
    def mostly_refused(self) -> list[str]:
        """The tables that were given and of which more than half of the rows were refused."""
        given = {
            name: report for name, report in self.reports.items() if name == "items" or not self.log_stays
        }
        return [name for name, report in given.items() if 2 * report["refused"] > report["rows"]]

    def lines(self) -> list[str]:
        """What to print: counts, what was understood, reasons, the first refused rows, where all are."""
        lines = []
        for name, report in self.reports.items():
            if name == "interactions" and not report["rows"]:
                source = report["source"]
                empty = f"{source} holds no rows, only a header"
                message = "no interactions yet" if source == NONE_GIVEN else empty
                lines.append(f"{message}: add them with --interactions FILE")
                continue
            if name == "interactions" and self.log_stays:
                gone = f"; the other {report['refused']:,} were with items that are gone: give the log again"
                gone += " if these come back"
                line = f"{name}: {report['accepted']:,} of the {report['rows']:,} in use were kept"
                lines.append(line + gone * bool(report["refused"]))
                continue
            lines.append(
                f"{name}: {report['accepted']:,} of {report['rows']:,} rows accepted from {report['source']}"
            )
            lines += [f"  {line}" for line in described(report)]
        lines += [self.replaced] if self.replaced else []
        for file, key in (("refused.csv", "refused"), ("cells.csv", "cells")):
            if any(report.get(key) for report in self.reports.values()):
                what = "refused row" if key == "refused" else "cell left empty"
                lines.append(f"every {what}: {self.listed / file}")
        return lines


def ingest_files(
    workspace: Workspace,
    items: Path | None = None,
    interactions: Path | None = None,
    settings: IngestSettings | None = None,
) -> Ingested:
    """Make the workspace's tables from files: both are replaced at once, by a new folder and a pointer to it.

    A table whose file is not given stays, its interactions checked against the new items, ratings and kinds
    read as before. The same files again change nothing. People with a tombstone are left out, counted there.

    Raises InputError as `ingest_items` and `ingest_interactions`; when no row is accepted; when there are no
    items at all; when a column that was named is in no file. Raises ArtifactError when the disk is full or
    the tables in use are damaged; the tables in use stay what they were.
    """
    settings = settings or IngestSettings()
    if items is None and interactions is None:
        raise InputError(
            "no items: give the file of your items, with or before that of the interactions, or that of the"
            " interactions alone, whose items then are the catalogue"
        )
    paths = {
        "items": None if _derived(workspace, items) else _given(workspace, "items", items),
        "interactions": _given(workspace, "interactions", interactions),
    }
    own = _own(workspace, paths["interactions"])
    rules = workspace.event_rules() if own else None
    if rules is not None and not settings.positive and settings.scale is None:
        settings = replace(settings, scale=rules.scale, positive=tuple(sorted(rules.wanted or ())))
    before = workspace.tables_folder() if workspace.has_tables() else None
    while True:
        forgotten = workspace.tombstones
        folder, reused = _tables(workspace, paths, settings, forgotten)
        listed, reports = folder, json.loads(read_file(folder, "report.json"))
        if before is not None and _same(before, folder):  # as after an upgrade that reads these files alike
            folder, reused = before, True
        with workspace.changing_tables():
            if workspace.tombstones.people == forgotten.people:  # nobody was forgotten meanwhile
                workspace.use_tables(folder.name.removeprefix("tables-"))
                break
    record_media(workspace)
    fresh = before is not None and before != folder and interactions is not None
    replaced = _replaced(before, reports) if before is not None and fresh else ""
    return Ingested(folder, reused, before != folder, reports, listed, replaced, own)


def _replaced(before: Path, reports: Mapping[str, Any]) -> str:
    """What to say of an earlier log that ends before the new one begins: it is no longer learnt from."""
    earlier = json.loads(read_file(before, "report.json"))["interactions"]
    logs = earlier, reports["interactions"]
    old, new = (log.get("understood", {}).get("times", {}) for log in logs)
    if not old.get("last") or not new.get("first") or old["last"] >= new["first"]:
        return ""
    return (
        f"the {earlier['accepted']:,} interactions from {old['first'][:10]} to {old['last'][:10]} were"
        " replaced by these later ones, and are not learnt from any more: give the folder of all files to"
        " keep them"
    )


def _same(before: Path, after: Path) -> bool:
    """Whether two folders of tables hold the same whole bytes, and their fields the same names."""
    try:
        files = [read_manifest(folder)["files"] for folder in (before, after)]
        verify_folder(before)
    except ArtifactError:
        return False
    equal = all(files[0].get(name) == files[1].get(name) for name in TABLES)
    return equal and origin(before) == origin(after)


@cache
def _rules() -> str:
    """Which rules for rows these are, by the files that hold them: other rules read the same files anew."""
    store = Path(__file__).parents[1]
    places = (store / "ingest", store / "text", store.parent / "schema", store)
    files = [file for place in places for file in sorted(place.iterdir()) if file.suffix in (".py", ".toml")]
    hashes = {file.relative_to(store.parent).as_posix(): sha256_file(file) for file in files}
    return fingerprint("rules", hashes, None)


def tables_without(workspace: Workspace, tables: str) -> str:
    """The fingerprint of earlier `tables` without those who asked to be forgotten; those in use stay."""
    before, forgotten = workspace.tables_folder(tables), workspace.tombstones
    mark = fingerprint("tables without", {"tables": tables} | forgotten.mark(), None)
    folder = workspace.data / f"tables-{mark}"
    if folder.exists():
        verify_folder(folder)
        return mark
    items, events = (workspace.table(name, tables=tables) for name in ("items", "interactions"))
    settings = read_manifest(before)["about"]["settings"]
    about = {"kind": "tables", "inputs": {"tables": tables} | forgotten.mark(), "settings": settings}
    with write_folder(folder, about) as temporary:
        write_table(temporary / "items.parquet", items)
        write_table(temporary / "interactions.parquet", forgotten.without(events)[0])
        for name in ("events.json", "report.json"):
            if (before / name).exists():  # tables of version 0.1 have no rules
                write_bytes(temporary / name, read_file(before, name))
    return mark


def _tables(
    workspace: Workspace, paths: Mapping[str, Path | None], settings: IngestSettings, forgotten: Tombstones
) -> tuple[Path, bool]:
    """The folder of the tables that these files make, and whether it was there already."""
    states = {path: _state(path) for path in paths.values() if path is not None}
    inputs = {name: _file_hash(path) for name, path in paths.items() if path is not None} | forgotten.mark()
    own = {name for name, path in paths.items() if _own(workspace, path)}
    came = origin(workspace.tables_folder()) if "items" in own else None
    if came is not None:
        inputs["origin"] = sha256_bytes(canonical(came))
    about = {name: value for name, value in asdict(settings).items() if value}
    folder = workspace.data / f"tables-{fingerprint('tables', inputs | {'rules': _rules()}, about)}"
    if folder.exists():
        verify_folder(folder)
        return folder, True
    sources = {
        name: (
            read_source(path)
            if name in own
            else read_source(path, settings.encoding, settings.numbers(name), _LEGAL[name])
        )
        for name, path in paths.items()
        if path is not None
    }
    for path, state in states.items():
        if _state(path) != state:
            raise InputError(f"{path}: was written to while it was read; copy it, and give the copy")
    if not own:
        _check_mixed(sources, settings)
    sources, settings = _in_rows(sources, own, settings)
    sources, settings = _without_header(sources, settings)
    try:
        _write_tables(folder, sources, own, inputs, settings, forgotten, came)
    except ArtifactError:
        if not folder.exists():
            raise
        verify_folder(folder)
    return folder, False


def _check_mixed(sources: Mapping[str, Source], settings: IngestSettings) -> None:
    """Raises InputError where both tables are the same, or each looks like the other one."""
    if len(sources) < 2:
        return
    items, events = sources["items"], sources["interactions"]
    if items.table.num_rows and items.table.equals(events.table):
        raise InputError(
            f"{items.name} and {events.name} hold the same: give the items as one file and what people did as"
            " the other; a log alone, --interactions, makes its own catalogue"
        )
    people = [
        candidates(source.table.column_names, INTERACTION_NAMES).get("user_id") or likely_people(source)
        for source in (items, events)
    ]
    named = settings.column("interactions", "user_id")
    if people[0] and not people[1] and named is None and _has_times(items):
        raise InputError(
            f"{items.name} names people, {events.name} does not: give them the other way round, as"
            f" --items {events.name} --interactions {items.name}"
        )


def _has_times(source: Source) -> bool:
    fit = candidates(source.table.column_names, INTERACTION_NAMES)
    return any(part in fit for part in ("timestamp", "position", "kind", "value"))


def _in_rows(
    sources: Mapping[str, Source], own: set[str], settings: IngestSettings
) -> tuple[dict[str, Source], IngestSettings]:
    """The sources with a row an item and a row an event; without a file of items, made of the events."""
    result, known = dict(sources), None
    if "items" in sources:
        if "items" not in own:
            result["items"] = shapes.items_in_rows(sources["items"], settings)
        known = _known(result["items"], settings)
    if "interactions" in sources and "interactions" not in own:
        result["interactions"] = shapes.events_in_rows(sources["interactions"], settings, known)
        if settings.column("interactions", "user_id") == "":
            named_columns = {k: v for k, v in settings.columns.items() if k.rpartition(".")[2] != "user_id"}
            settings = replace(settings, columns=named_columns)
    derived = "items" not in sources
    _check_columns(result | ({"items": result["interactions"]} if derived else {}), own, settings)
    if derived:
        result["items"], result["interactions"], settings = catalogue_of(result["interactions"], settings)
    return result, settings


def _known(items: Source, settings: IngestSettings) -> pl.Series | None:
    """The ids in a table of items; None where no column can be told to hold them."""
    present = items.table.column_names
    column = settings.column("items", "item_id") or candidates(present, ITEM_NAMES).get("item_id", [""])[0]
    if not column and items.about.get("header") is False:
        column = layout.items_by_content(items).get("item_id", [""])[0]
    return ids_of(items, column).drop_nulls() if column in present else None


def _without_header(
    sources: Mapping[str, Source], settings: IngestSettings
) -> tuple[dict[str, Source], IngestSettings]:
    """Settings with columns for parts of files without a header, and the sources with their rivals."""
    columns, result = dict(settings.columns), dict(sources)
    for name, source in sources.items():
        if source.about.get("header", True):
            continue
        if name == "items":
            parts = layout.items_by_content(source)
        else:
            known = _known(sources["items"], settings)
            given = {part: settings.column(name, part) or "" for part in schema.INTERACTIONS.names}
            parts = {} if known is None else layout.events_by_content(source, known, given)
        for part, fit in parts.items():
            if settings.column(name, part) is None:
                columns[f"{name}.{part}"] = fit[0]
        result[name] = replace(source, rivals={part: fit[1:] for part, fit in parts.items()})
    return result, replace(settings, columns=columns)


def _write_tables(
    folder: Path,
    sources: Mapping[str, Source],
    own: set[str],
    inputs: Mapping[str, str],
    settings: IngestSettings,
    forgotten: Tombstones,
    came: Mapping[str, Any] | None,
) -> None:
    ours = replace(settings, columns={})
    chosen = settings
    if "interactions" in sources and not own:
        chosen = best_id_columns(sources["items"], sources["interactions"], settings)
    with in_file(sources["items"].name):
        items, about_items = ingest_items(sources["items"], settings=ours if "items" in own else chosen)
    empty = as_source(schema.INTERACTIONS.empty_table(), NONE_GIVEN)
    given = sources.get("interactions", empty)
    with in_file(given.name):
        events, about_events = ingest_interactions(
            given, items, settings=ours if "interactions" in own else chosen
        )
    if settings.column("items", "attributes") is None:
        items, persons = without_people(items, events["user_id"])
        if persons:
            facts = {
                column: kind
                for column, kind in about_items.understood.get("facts", {}).items()
                if column not in persons
            }
            note = f"{', '.join(map(repr, persons))}: ids of people, and no facts of items"
            about_items = replace(
                about_items,
                notes=(*about_items.notes, note),
                understood={**about_items.understood, "facts": facts},
            )
    for table, report in ((items, about_items), (events, about_events)):
        if not table.num_rows and (report.rows or table is items):
            why = f"; the first: {report.first(1)[0]}" if report.refused.num_rows else ""
            notes = "".join(f"; {note}" for note in report.notes)
            none = f"none of its {report.rows:,} rows can be used{why}"
            raise InputError(
                f"{report.source}: {none if report.rows else 'holds no rows; export the table again'}{notes}"
            )
    events, left = forgotten.without(events)
    if left.rows:
        about_events = replace(about_events, accepted=events.num_rows, notes=(*about_events.notes, str(left)))
    manifest = {"kind": "tables", "inputs": inputs, "settings": asdict(settings)}
    with write_folder(folder, manifest) as temporary:
        write_table(temporary / "items.parquet", items)
        write_table(temporary / "interactions.parquet", events)
        for file, tables in (
            ("refused.csv", (about_items.refused, about_events.refused)),
            ("cells.csv", (about_items.cells, about_events.cells)),
        ):
            listed = pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])
            write_bytes(temporary / file, listed.write_csv().encode())
        write_json(temporary / "events.json", about_events.understood["rules"])
        write_json(
            temporary / "report.json",
            {
                "items": about_items.summary() | ({} if came is None else {"origin": came}),
                "interactions": about_events.summary(),
            },
        )


def _check_columns(sources: Mapping[str, Source], own: set[str], settings: IngestSettings) -> None:
    """Raises InputError for a column that was named and is in no file, or a part that is in no table."""
    parts = {
        "items": set(schema.ITEMS.names) | {"description"},
        "interactions": set(schema.INTERACTIONS.names),
    }
    for part, column in settings.columns.items():
        table, _, name = part.rpartition(".")
        tables = [choice for choice in parts if name in parts[choice] and table in ("", choice)]
        if not tables:
            legal = ", ".join(dict.fromkeys(name for names in parts.values() for name in sorted(names)))
            raise InputError(f"--column {part}={column}: there is no such part; the parts are {legal}")
        files = [sources[choice] for choice in tables if choice in sources and choice not in own]
        if column and not any(column in source.table.column_names for source in files):
            have = "; ".join(
                f"{source.name} has {', '.join(source.table.column_names[:40])}" for source in files
            )
            raise InputError(
                f"--column {part}={column}: no file has that column; {have or 'no file was given'}"
            )


def _derived(workspace: Workspace, items: Path | None) -> bool:
    """Whether the items are to be made of the events: none were ever given."""
    if items is not None or not workspace.has_tables():
        return items is None
    inputs = read_manifest(workspace.tables_folder())["about"]["inputs"]
    return "items" not in inputs and "interactions" in inputs


def _given(workspace: Workspace, name: str, path: Path | None) -> Path | None:
    """The file to read a table from: the user's, else that of the tables in use."""
    if path is not None or not workspace.has_tables():
        return path
    folder = workspace.tables_folder()
    verify_folder(folder)
    return folder / f"{name}.parquet"


def _own(workspace: Workspace, path: Path | None) -> bool:
    """Whether a file is one of the tables in use, which ingest wrote itself."""
    return path is not None and workspace.has_tables() and path.parent == workspace.tables_folder()


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Size and time of change of a file, or of each in a folder; nothing of what is not there."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    if lost := next((file for file in files if not file.exists()), None):
        raise InputError(f"{lost}: is a link that leads nowhere; mend or remove it")
    stats = ((str(file), file.stat()) for file in files)
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _file_hash(path: Path) -> str:
    if path.is_dir():
        return fingerprint(
            "folder",
            {
                file.relative_to(path).as_posix(): sha256_file(file)
                for file in path.rglob("*")
                if file.is_file()
            },
            None,
        )
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    return sha256_file(path)
