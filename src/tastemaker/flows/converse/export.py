"""`tastemaker converse export`: a data set in the shapes that trainers, evaluators and other tools read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tastemaker.converse.exports import crs, talkplay, training
from tastemaker.converse.language.lexicon import build
from tastemaker.converse.record import Conversation
from tastemaker.errors import InputError
from tastemaker.flows.converse.catalogue import build_catalogue
from tastemaker.flows.converse.dataset import read_conversations, saved_settings
from tastemaker.flows.converse.settings import PEOPLE, RunFolder
from tastemaker.flows.pipeline import Pipeline
from tastemaker.store import Database, Workspace, fingerprint, replacing, write_text
from tastemaker.store.remote import uploaded

FORMATS = ("talkplay", *training.FORMATS, "crs")


def export_run(
    workspace: Path, name: str, kind: str, extended: bool = True, out: str | Path | None = None
) -> dict[str, Any]:
    """Write one export, to a file or a URL: JSON lines, or for crs the JSON list of targets. Ids of people
    and sessions are keyed pseudonyms. extended: for talkplay, whether sessions with a turn that played
    nothing are kept.

    Raises InputError for an unknown format.
    """
    if kind not in FORMATS:
        raise InputError(f"format '{kind}' is not known; choose from {', '.join(FORMATS)}")
    store = Workspace.open(workspace)
    folder = RunFolder.of(store, name)
    key = export_key(folder)
    place = out or folder.exports / (f"{kind}.json" if kind == "crs" else f"{kind}.jsonl")
    left_out = 0

    def fits(conversation: Conversation) -> bool:
        nonlocal left_out
        left_out += not (fit := extended or talkplay.fits(conversation))
        return fit

    conversations: Iterable[Conversation] = read_conversations(folder)
    with uploaded(place) as path:
        if kind == "crs":
            rows = [asdict(target) for target in crs.targets(conversations, key)]
            write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
            count = len(rows)
        elif kind == "talkplay":
            sessions = (
                talkplay.to_row(conversation, key) for conversation in conversations if fits(conversation)
            )
            count = write_lines(path, sessions)
        else:
            data = Pipeline(store, lambda *_: None).data
            catalogue = build_catalogue(store, data)
            names = (name for name, _ in catalogue.folded_names)
            about = training.Exporting(key, catalogue, build(catalogue.fields, names))
            count = write_lines(path, training.FORMATS[kind](conversations, about))
    text = f"{count:,} rows in {place}"
    if left_out:
        text += f"\n{left_out:,} conversations left out: they have a turn that played nothing (--complete)"
    return {"format": kind, "file": str(place), "rows": count, "left_out": left_out, "text": text}


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """JSON lines, atomically; returns their number."""
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for count, row in enumerate(rows, start=1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def read_json(path: Path) -> Any:
    """A JSON list, or JSON lines as a list.

    Raises InputError naming the file and line that is no JSON.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8; write it again in that encoding") from None
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: is no JSON ({error}); write the whole list again") from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise InputError(f"{path}, record {number}: is no JSON; write one object a line") from None
    return rows


def export_key(folder: RunFolder) -> str:
    """The key of a data set's pseudonyms, from its settings or (people's own) the workspace's secret."""
    if saved_settings(folder).model == PEOPLE:
        with Database(Workspace.open(folder.root.parents[1]).database) as database:
            return database.secret("pseudonyms")
    return fingerprint("pseudonyms", {}, asdict(saved_settings(folder)) | {"n": None})


def read_predictions(workspace: Path, name: str, path: Path, blind: bool = False) -> dict[str, Any]:
    """Check a file of crs predictions against the catalogue and score it against the data set.

    Raises InputError naming file, record and remedy.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    store = Workspace.open(workspace)
    items = frozenset(Pipeline(store, lambda *_: None).data.item_ids)
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: holds one JSON value; a list of records is needed")
    folder = RunFolder.of(store, name)
    wanted = crs.targets(read_conversations(folder), export_key(folder))
    metrics = crs.evaluate(wanted, crs.read_predictions(rows, str(path), wanted, items, blind), len(items))
    listed = "; ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
    text = f"{len(rows):,} predictions in {path}: every record can be used\n{listed} ({crs.VERSION})"
    return {"file": str(path), "rows": len(rows), "metrics": metrics, "version": crs.VERSION, "text": text}
