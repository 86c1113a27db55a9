"""A stored data set of conversations: rows written and read, its settings, its environment opened again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.converse.record import Conversation, from_row
from tastemaker.errors import ArtifactError
from tastemaker.flows.converse.env import ConversationEnv, open_env
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.pipeline import Report
from tastemaker.schema import CONVERSATIONS
from tastemaker.store import Workspace, replacing
from tastemaker.store.files import restored

ROW_GROUP = 64


@contextmanager
def table_writer(path: Path) -> Iterator[Callable[[Any], None]]:
    """Writes rows to a Parquet file a row group at a time; what was written stands if the run ends early."""
    rows: list[Any] = []
    failure: BaseException | None = None
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, CONVERSATIONS, compression="zstd") as writer,
    ):

        def flush() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, CONVERSATIONS))
                rows.clear()

        def write(row: Any) -> None:
            rows.append(row)
            if len(rows) >= ROW_GROUP:
                flush()

        try:
            yield write
        except BaseException as error:
            failure = error
        flush()
    if failure is not None:
        raise failure


def count_conversations(folder: RunFolder) -> int:
    """How many conversations the data set holds; ArtifactError when there are none."""
    if not folder.table.exists():
        raise ArtifactError(
            f"{folder.root}: holds no conversations; make some with `tastemaker converse run`"
        )
    return int(pq.ParquetFile(folder.table).metadata.num_rows)


def read_conversations(folder: RunFolder) -> Iterator[Conversation]:
    """The conversations of a data set, a few in memory at a time."""
    count_conversations(folder)
    for part in pq.ParquetFile(folder.table).iter_batches(ROW_GROUP):
        yield from map(from_row, part.to_pylist())


def saved_settings(folder: RunFolder) -> RunSettings:
    """What a data set was begun with."""
    if not folder.settings.exists():
        raise ArtifactError(f"{folder.root}: holds no data set; `tastemaker converse run` makes one")
    return restored(RunSettings, json.loads(folder.settings.read_text()), folder.settings)


def open_data_set(workspace: Path, name: str, report: Report) -> tuple[ConversationEnv, RunFolder]:
    """A data set's environment, as it was generated, and its folder."""
    folder = RunFolder.of(Workspace.open(workspace), name)
    return open_env(workspace, saved_settings(folder), report), folder
