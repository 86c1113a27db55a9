"""Tables that come packed: read as if they were not, within the same budgets."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store.tables import read_any, read_source

CSV = b"user_id,item_id\nu1,i1\nu2,i2\n"
LINES = b'{"user_id": "u1", "item_id": "i1"}\n{"user_id": "u2", "item_id": "i2"}\n'
ROWS = [{"user_id": "u1", "item_id": "i1"}, {"user_id": "u2", "item_id": "i2"}]


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": lambda data: zipped({"any": data}),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("suffix", "content"), [(".csv", CSV), (".jsonl", LINES), ("", CSV), ("", LINES)])
def test_packed_tables_are_those_within(tmp_path: Path, packing: str, suffix: str, content: bytes) -> None:
    for name in (f"log{suffix}{packing}", f"log{suffix}" if suffix else "log"):  # by its bytes, not its name
        (tmp_path / name).write_bytes(PACKINGS[packing](content))
        source = read_source(tmp_path / name)
        assert source.table.to_pylist() == ROWS and source.about["compressed"] is True
        assert source.rows.tolist() == read_source(_plain(tmp_path, content)).rows.tolist()


def _plain(folder: Path, content: bytes) -> Path:
    (folder / "plain").write_bytes(content)
    return folder / "plain"


def test_a_zip_as_it_is_downloaded_is_ingested(tmp_path: Path) -> None:
    members = {"shop/": b"", "shop/README": b"see events.csv", "__MACOSX/shop/._events.csv": b"\x00\x05"}
    (tmp_path / "archive.zip").write_bytes(zipped(members | {"shop/events.csv": CSV}))
    assert CliRunner().invoke(app, ["init", str(tmp_path / "w")]).exit_code == 0
    given = ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(tmp_path / "archive.zip")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0 and "interactions: 2 of 2 rows accepted" in result.output


def _locked() -> bytes:
    data = bytearray(zipped({"a.csv": CSV}))
    data[6] |= 1  # the mark of a password, in the head of the member and in the list of members
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("two.zip", zipped({"a.csv": CSV, "b.csv": CSV}), r"holds 2 tables \(a.csv, b.csv\); unpack it"),
        ("none.zip", zipped({"a.png": b"", "b.png": b""}), "holds no table; unpack it"),
        ("empty.zip", zipped({}), "format is not read"),
        ("book.xlsx", zipped({"[Content_Types].xml": b"<", "xl/sheet1.xml": b"<"}), "format is not read"),
        ("locked.zip", _locked(), "'a.csv' in it asks for a password"),
        ("twice.csv.zip", zipped({"a.csv": gzip.compress(CSV)}), "was packed twice"),
        ("cut.csv.bz2", bz2.compress(CSV)[:-8], "cannot be read"),
        ("cut.csv.xz", lzma.compress(CSV)[:-8], "cannot be read"),
        ("cut.zip", zipped({"a.csv": CSV})[:-30], "cannot be read"),
        ("bad.zip", zipped({"a.csv": CSV}, zipfile.ZIP_STORED).replace(b"u2,i2", b"u3,i3"), "Bad CRC-32"),
        ("bomb.csv.xz", lzma.compress(CSV + b"u,i\n" * 20_000_000), "unpacks to more than"),
        ("bomb.zip", zipped({"a.csv": CSV + b"u,i\n" * 20_000_000}), "unpacks to more than"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_any(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)
