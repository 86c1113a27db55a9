"""Files that a workspace serves and learns from but did not write: another byte in one is never served."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tastemaker.errors import ArtifactError, ModelError
from tastemaker.flows.media import Media
from tastemaker.flows.stages.vectors import image_view
from tastemaker.store import Workspace, ingest_files
from tastemaker.store.recorded import RECORD, check_base, media_mark


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "w")
    (workspace.root / "covers").mkdir()
    for n in range(12):
        Image.frombytes("RGB", (8, 8), os.urandom(192)).save(workspace.root / "covers" / f"{n}.png")
    rows = [{"item_id": f"i{n:02d}", "title": f"Thing {n}", "image": f"covers/{n}.png"} for n in range(12)]
    plays = [{"user_id": f"u{n}", "item_id": f"i{n:02d}", "position": 0} for n in range(12)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    pq.write_table(pa.Table.from_pylist(plays), tmp_path / "plays.parquet")
    again(workspace)
    return workspace


def again(workspace: Workspace) -> None:
    files = workspace.root.parent
    ingest_files(workspace, files / "items.parquet", files / "plays.parquet")


def flip(path: Path, at: int = 60) -> None:
    """One bit, and the time of change as it was."""
    content, about = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_cover_that_changed_is_served_to_nobody_until_it_is_ingested_again(shop: Workspace) -> None:
    media, path = Media(shop, shop.table("items")), shop.root / "covers" / "3.png"
    assert media.get("i03", "cover") == (path.read_bytes(), "image/png")
    path.write_bytes((shop.root / "covers" / "4.png").read_bytes())
    with pytest.raises(
        ArtifactError, match=r"item i03: its cover: .*3\.png is not what it was.*ingest again"
    ):
        media.get("i03", "cover")
    before = media_mark(shop)
    again(shop)
    assert media.get("i03", "cover") == (path.read_bytes(), "image/png")
    assert media_mark(shop) != before  # what learns from covers learns anew
    flip(path)
    with pytest.raises(ArtifactError, match="is not what it was"):
        Media(shop, shop.table("items")).get("i03", "cover")
    again(shop)  # with the same size and time it is no new file
    with pytest.raises(ArtifactError, match="is not what it was"):
        Media(shop, shop.table("items")).get("i03", "cover")


def test_a_damaged_record_is_named(shop: Workspace) -> None:
    record = shop.data / RECORD
    flip(record, 20)
    with pytest.raises(ArtifactError, match=r"media\.json: damaged; delete it"):
        Media(shop, shop.table("items")).get("i03", "cover")
    record.unlink()
    again(shop)
    assert len(json.loads(record.read_text())["files"]) == 12


def test_items_whose_cover_is_gone_damaged_or_a_placeholder_learn_without_it(shop: Workspace) -> None:
    covers, notes = shop.root / "covers", list[str]()
    (covers / "0.png").unlink()
    flip(covers / "1.png")
    for n in (2, 3, 4, 5):
        (covers / f"{n}.png").write_bytes((covers / "2.png").read_bytes())
    again(shop)
    items = shop.table("items").sort_by("item_id")
    vectors = image_view(shop, items, lambda *_: None, notes)
    assert vectors is not None
    assert [bool(row[0] == row[0]) for row in vectors] == [False] * 6 + [True] * 6
    assert (
        "2 of 12 items learn without their cover: item i00: cover file 'covers/0.png' is not in" in notes[0]
    )
    assert "4 items share one cover, a placeholder, and learn without it: i02" in notes[1]
    for n in range(12):
        (covers / f"{n}.png").write_bytes((covers / "2.png").read_bytes())
    again(shop)
    assert image_view(shop, items, lambda *_: None, notes) is None


def test_a_base_model_is_compared_with_what_was_first_used(shop: Workspace, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(bytes(100))
    check_base(shop, base)
    check_base(shop, base)
    flip(base / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors: is not what it was when this workspace first"):
        check_base(shop, base)
    flip(base / "model.safetensors")
    (base / "more.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"more\.safetensors"):
        check_base(shop, base)


def test_settings_that_changed_since_the_last_command_are_told(
    shop: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    Workspace.open(shop.root)
    assert not caplog.text
    file = shop.root / "tastemaker.toml"
    file.write_text(file.read_text().replace("beam = 50", "beam = 51"))
    Workspace.open(shop.root)
    assert "tastemaker.toml changed since it was last read: beam is 51, was 50" in caplog.text
    caplog.clear()
    Workspace.open(shop.root)
    assert not caplog.text
    flip(shop.data / "settings.json", 10)
    Workspace.open(shop.root)
    assert "settings.json: damaged" in caplog.text


@pytest.mark.parametrize("name", ["current.json", "tombstones.json"])
def test_a_flip_in_a_small_file_is_refused_by_name(shop: Workspace, name: str) -> None:
    path = shop.root / name if name == "tombstones.json" else shop.data / name
    if name == "tombstones.json":
        shop.tombstones.add("u1", []).finish("u1")
    content = path.read_bytes()
    for at in range(0, len(content), 5):
        flip(path, at)
        with pytest.raises(ArtifactError, match=name):
            (shop.tables_folder if name == "current.json" else lambda: shop.tombstones)()
        path.write_bytes(content)
