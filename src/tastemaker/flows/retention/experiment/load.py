"""The design file and the tables of an experiment: Parquet streams, other formats are read whole."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.errors import InputError
from tastemaker.experiment.readout.design import Design, design_of
from tastemaker.flows.retention.tables import read_typed

_SEE = "see `tastemaker experiment --help`"


def read_design(path: Path) -> Design:
    """Read and check a design (TOML or JSON). Raises InputError naming the file and the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        given: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; write the plan before the test, {_SEE}") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; a plan is TOML or JSON, {_SEE}") from None
    with in_file(path):
        return design_of(given)


def open_table(path: Path, columns: Iterable[str], text: tuple[str, ...] = ()) -> Any:
    """An Arrow stream of the columns; those of `text` are ids and stay text. Raises InputError naming one
    that is missing, with those that the file has.
    """
    wanted = list(dict.fromkeys(columns))
    if path.is_file() and path.suffix.lower() in (".parquet", ".pq"):
        try:
            file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read ({error}); export the table again") from None
        _all_there(wanted, file.schema_arrow.names)
        return file.iter_batches(columns=wanted)
    table = read_typed(path, text=text) if text else read_typed(path)
    _all_there(wanted, table.column_names)
    return table.select(wanted)


def _all_there(wanted: Iterable[str], names: list[str]) -> None:
    missing = next((name for name in wanted if name not in names), None)
    if missing is not None:
        raise InputError(f"column '{missing}' is missing; the table has {', '.join(names) or 'no columns'}")


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is wrong with what it holds."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
