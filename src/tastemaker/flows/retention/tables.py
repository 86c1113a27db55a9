"""Tables as the retention commands read them."""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.errors import InputError, in_file
from tastemaker.experiment.readout.design import Design, design_of
from tastemaker.retention.report import ClaimReport
from tastemaker.retention.weights.design import far_values
from tastemaker.schema.values import as_text
from tastemaker.store import write_bytes, write_json, write_text
from tastemaker.store.files import plain
from tastemaker.store.tables import read_typed


def warn_of_slips(table: pa.Table, features: Sequence[str], name: str) -> None:
    """Name on stderr what looks like a code for "missing" or a slip among the features."""
    for text in far_values(table, features, name):
        logging.getLogger("tastemaker").warning("%s: %s", name, text)


def write_claim(report: ClaimReport, folder: Path) -> dict[str, Any]:
    """Write the report and return what a command prints: claim, verdict, because, tables, files, `text`
    for people, and the exit code of the claim.

    Raises ArtifactError when the folder cannot be written, InputError naming a figure that cannot be drawn.
    """
    from tastemaker.reports.claim import drawings, markdown, render

    values: dict[str, Any] = plain(report.as_mapping())
    drawn = drawings(values)
    pictures = {drawing.text: f"figures/{name}.svg" for name, drawing in drawn.items()}
    for name, drawing in drawn.items():
        write_bytes(folder / "figures" / f"{name}.svg", drawing.svg)
        write_bytes(folder / "figures" / f"{name}.png", drawing.png)
    text = markdown(values, pictures)
    write_text(folder / "report.md", text)
    write_text(folder / "report.html", render(values, drawn))
    write_json(folder / "report.json", values)
    shown = markdown(values, {})
    return values | {
        "folder": str(folder),
        "page": str(folder / "report.html"),
        "text": f"{shown}\npage: {folder / 'report.html'}",
        "exit_code": report.exit_code,
    }


_SEE = "see `tastemaker experiment --help`"


def read_design(path: Path) -> Design:
    """Read and check a design (TOML or JSON). Raises InputError naming the file and the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; write the plan before the test, {_SEE}") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; a plan is TOML or JSON, {_SEE}") from None
    with in_file(path):
        return design_of(document)


def open_table(path: Path, columns: Iterable[str], text: tuple[str, ...] = ()) -> Any:
    """An Arrow stream of the columns, `text` ones as text. InputError: one is missing (with those there)."""
    wanted = list(dict.fromkeys(columns))
    if path.is_file() and path.suffix.lower() in (".parquet", ".pq"):
        try:
            file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read ({error}); export the table again") from None
        _all_there(wanted, file.schema_arrow.names)
        return _with_texts(file.iter_batches(columns=wanted), text)
    table = read_typed(path, text=text) if text else read_typed(path)
    _all_there(wanted, table.column_names)
    return table.select(wanted)


def _with_texts(batches: Iterable[pa.RecordBatch], text: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The batches with numbers and yes or no in the columns of `text` written as a plan names them."""
    for batch in batches:
        for place, field in enumerate(batch.schema):
            if field.name in text and pa.types.is_primitive(field.type):
                cells = as_text(pa.chunked_array([batch.column(place)]), field.name)
                batch = batch.set_column(place, field.name, cells.to_arrow().cast(pa.string()))
        yield batch


def _all_there(wanted: Iterable[str], names: list[str]) -> None:
    missing = next((name for name in wanted if name not in names), None)
    if missing is not None:
        raise InputError(f"column '{missing}' is missing; the table has {', '.join(names) or 'no columns'}")
