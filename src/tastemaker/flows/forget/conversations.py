"""Where data sets of conversations hold a person: answers, rows, attachments, and what was made of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.chat import Cache
from tastemaker.errors import ArtifactError
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.forget.holdings import Holding
from tastemaker.store import Workspace, sha256_file, write_bytes

ROW_GROUP = 64


def conversations(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """Every data set's holdings, the table last: what hangs on it is found by it."""
    for root in sorted(path for path in (workspace.root / "conversations").glob("*") if path.is_dir()):
        place = RunFolder(root)
        for folder in (place.cache, place.judging / "cache"):
            cache = Cache(folder, write_bytes)
            if count := cache.count_of(user_id):
                yield Holding(folder, "answers of models", count, partial(cache.erase, user_id))
        count, media = _counted(place, user_id)
        if count:
            command = f"tastemaker converse %s -w {workspace.root} --name {root.name}"
            yield from _derived(place, media, command)
            remove = partial(_rewrite, place, user_id)
            yield Holding(place.table, "conversations", count, remove, (sha256_file(place.table),))


def _rows(place: RunFolder) -> Iterator[Mapping[str, Any]]:
    if not place.table.exists():
        return
    try:
        for part in pq.ParquetFile(place.table).iter_batches(ROW_GROUP):
            yield from part.to_pylist()
    except (OSError, pa.ArrowException):
        raise ArtifactError(
            f"{place.table}: cannot be read, so whom it names is unknown; delete it, or make it again"
        ) from None


def _counted(place: RunFolder, user_id: str) -> tuple[int, set[str]]:
    """How many conversations are the person's, and the attachments that only these have, by sha256."""
    theirs: list[set[str]] = []
    others: set[str] = set()
    for row in _rows(place):
        shown = {medium["sha256"] for turn in row["turns"] for medium in turn["media"] or ()}
        if row["user_id"] == user_id:
            theirs.append(shown)
        else:
            others |= shown
    return len(theirs), set().union(*theirs) - others


def _derived(place: RunFolder, media: set[str], command: str) -> Iterator[Holding]:
    """Files made from conversations; exports and pages do not name people, so they go as a whole."""
    for path in sorted(path for path in place.media.glob("*") if path.stem in media):
        yield Holding(path, "attachment", 1, _unlink(path))
    if place.page.exists():
        yield Holding(place.page, "page of an earlier version", 1, _unlink(place.page))
    verbs = {place.judgements: "judge", place.audit: "audit"}
    verbs |= {
        path: f"export --format {path.stem}" for path in sorted(place.exports.glob("*")) if path.is_file()
    }
    for path, verb in verbs.items():
        if path.exists():
            first, _, options = verb.partition(" ")
            again = f"{command % first} {options}".rstrip()
            yield Holding(path, "file made from the conversations", 1, _unlink(path), again=again)


def _unlink(path: Path) -> Callable[[], None]:
    return partial(path.unlink, missing_ok=True)


def _rewrite(place: RunFolder, user_id: str) -> None:
    from tastemaker.flows.converse.dataset import table_writer

    with table_writer(place.table) as write:
        for row in _rows(place):
            if row["user_id"] != user_id:
                write(row)
