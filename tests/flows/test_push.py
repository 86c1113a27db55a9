"""Deployments carried to other machines: pushed to an address whole, pulled with every byte compared."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.conftest import TINY, quiet
from tests.store.test_remote import moto
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import ArtifactError, InputError, TastemakerError
from tastemaker.flows.deploy import active, pulled, pushed
from tastemaker.flows.train import run_stages
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace
from tastemaker.store.files import sha256_bytes
from tastemaker.store.folders import sealed, unsealed
from tastemaker.store.remote import LIST

PLACE = "memory://pushed/shop"
MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def shop(untouched_workspace: Path, tmp_path: Path) -> Iterator[Path]:
    """A trained workspace whose deployment is at `PLACE`."""
    folder = Path(shutil.copytree(untouched_workspace, tmp_path / "shop"))
    assert pushed(folder, f"{PLACE}/")["sent"] == 5
    yield folder
    MEMORY.rm("/pushed", recursive=True)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A workspace of another machine, with nothing but its settings."""
    return Workspace.create(tmp_path / "other", TINY).root


def lists(folder: Path) -> dict[str, list[str]]:
    """Some people's lists."""
    service = WorkspaceService(Workspace.open(folder))
    try:
        people = [row["user_id"] for row in service.users(20, 0)[0]]
        slates = service.recommend_many([Query(person, k=5) for person in people])
        assert all(isinstance(slate, Slate) for slate in slates)
        return {p: [row.item_id for row in slate.rows] for p, slate in zip(people, slates, strict=True)}
    finally:
        service.close()


def at(place: str) -> dict[str, Any]:
    """What the list at an address says."""
    return unsealed(MEMORY.cat_file(f"/pushed/shop/{LIST}"))


def refused(folder: Path, place: str = PLACE) -> str:
    """The one line that a pull ends with; nothing is served after it, and no half of a folder is left."""
    with pytest.raises(TastemakerError) as failure:
        pulled(folder, place)
    assert active(Workspace.open(folder)) is None and not Workspace.open(folder).has_tables()
    assert not list(folder.rglob("*.tmp*")) and "\n" not in str(failure.value)
    assert not Workspace.open(folder).artifacts.finished() and not list(folder.glob("data/tables-*"))
    return str(failure.value)


def test_another_machine_takes_a_deployment_over_and_serves_the_same(shop: Path, other: Path) -> None:
    result = pulled(other, PLACE)
    assert result["deployment"]["name"] in result["text"] and "warning" not in result["text"]
    assert lists(other) == lists(shop)
    assert pulled(other, PLACE)["deployment"] == result["deployment"]
    again = pushed(shop, PLACE)
    assert again["sent"] == 0 and "0 of its 5 folders" in again["text"]


def test_what_was_there_of_an_earlier_deployment_goes(shop: Path, other: Path, tmp_path: Path) -> None:
    before, model = at(PLACE), set(at(PLACE)["folders"])
    file = shop / "tastemaker.toml"
    file.write_text(file.read_text().replace("seed = 0", "seed = 1"))
    run_stages(shop, quiet)
    pulled(other, PLACE)
    assert pushed(shop, PLACE)["sent"] > 0
    after = at(PLACE)
    assert after["deployment"] != before["deployment"]
    assert {name for name in model if MEMORY.exists(f"/pushed/shop/{name}")} == model & set(after["folders"])
    assert pulled(other, PLACE)["deployment"]["name"] == f"d-{after['deployment'][:12]}"


def test_a_flipped_byte_anywhere_changes_nothing(shop: Path, other: Path) -> None:
    for file in MEMORY.find("/pushed/shop"):
        whole = MEMORY.cat_file(file)
        MEMORY.pipe_file(file, whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        message = refused(other)
        assert message.startswith(f"{PLACE}/") and "damaged" in message and file.split("/")[-1] in message
        assert "delete" in message
        MEMORY.pipe_file(file, whole)
    assert pulled(other, PLACE)


def test_what_is_gone_newer_or_no_deployment_is_one_line(shop: Path, other: Path, tmp_path: Path) -> None:
    model = next(file for file in MEMORY.find("/pushed/shop") if file.endswith("model.safetensors"))
    whole = MEMORY.cat_file(model)
    MEMORY.rm_file(model)
    assert "cannot be read" in refused(other)
    MEMORY.pipe_file(model, whole)
    listed = MEMORY.cat_file(f"/pushed/shop/{LIST}")
    MEMORY.pipe_file(f"/pushed/shop/{LIST}", sealed(unsealed(listed) | {"format": 2}))
    assert "newer Tastemaker (format 2, this program knows 1); upgrade" in refused(other)
    outside = {"about": {}, "files": {"../../tastemaker.toml": {"sha256": "", "size": 0}}, "format": 1}
    name = next(iter(unsealed(listed)["folders"]))
    manifest = sealed(outside)[:-1]
    MEMORY.pipe_file(f"/pushed/shop/{name}/manifest.json", manifest)
    folders = unsealed(listed)["folders"] | {name: sha256_bytes(manifest)}
    MEMORY.pipe_file(f"/pushed/shop/{LIST}", sealed(unsealed(listed) | {"folders": folders}))
    assert "names a file outside its folder" in refused(other)
    assert "no such file" in refused(other, "memory://pushed/nothing")
    with pytest.raises(ArtifactError, match="has no tables yet"):
        pushed(other, PLACE)


def test_who_pushes_at_the_same_time_breaks_no_address(shop: Path, other: Path) -> None:
    before = at(PLACE)
    name = next(name for name in before["folders"] if name.startswith("deployment/"))
    real = MEMORY.pipe_file

    def overtaken(path: str, value: bytes, **named: Any) -> Any:
        if path.endswith(LIST):  # another push ends here, and removes what its list does not name
            MEMORY.rm(f"/pushed/shop/{name}", recursive=True)
        return real(path, value, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(MEMORY), "pipe_file", lambda self, *words, **named: overtaken(*words, **named))
        pushed(shop, PLACE)
    assert pulled(other, PLACE)["deployment"]["name"] == f"d-{before['deployment'][:12]}"


def test_a_list_that_names_no_deployment_changes_nothing(shop: Path, other: Path) -> None:
    listed = at(PLACE)
    MEMORY.pipe_file(f"/pushed/shop/{LIST}", sealed(listed | {"deployment": "0" * 32}))
    assert "no deployment is called so" in refused(other)


def test_a_short_file_at_an_address_is_sent_again(shop: Path, other: Path, tmp_path: Path) -> None:
    model = next(file for file in MEMORY.find("/pushed/shop") if file.endswith("model.safetensors"))
    MEMORY.pipe_file(model, MEMORY.cat_file(model)[:100])
    assert pushed(shop, PLACE)["sent"] == 1 and pulled(other, PLACE)
    for place in ("", " "):
        with pytest.raises(InputError, match="an address is missing"):
            pushed(shop, place)
        with pytest.raises(InputError, match="an address is missing"):
            pulled(other, place)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot be written") as failure:
        pushed(shop, str(tmp_path / "file"))
    assert "bucket" not in str(failure.value)
    done = CliRunner().invoke(app, ["admin", "deployments", "push", PLACE, "-w", str(shop)])
    assert isinstance(done.exception, InputError) and "ends with this command" in str(done.exception)


def test_who_asked_to_be_forgotten_does_not_come_back_from_an_address(shop: Path, other: Path) -> None:
    person = next(iter(lists(shop)))
    Workspace.open(other).tombstones.add(person, ())
    assert "asked here to be forgotten" in refused(other)


@pytest.mark.filterwarnings("default")
def test_a_bucket_that_vanishes_in_the_middle_is_one_line(
    shop: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(verb: str, folder: Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "tastemaker", "admin", "deployments", verb, "s3://shop/live"]
        return subprocess.run(
            [*line, "-w", str(folder)], capture_output=True, text=True, check=False, env=environment
        )

    with moto() as (environment, bucket):
        bucket.mkdir("shop")
        done = command("push", shop)
        assert done.returncode == 0, done.stderr
        bucket.rm(next(file for file in bucket.find("shop/live") if file.endswith("items.parquet")))
        half = command("pull", other)
        assert command("push", shop).returncode == 0
        bucket.rm("shop/live", recursive=True)
        assert command("push", shop).returncode == 0 and command("pull", other).returncode == 0
        assert lists(other) == lists(shop)

        import s3fs

        put = s3fs.S3FileSystem.put_file

        def vanishing(system: Any, *words: Any, **named: Any) -> Any:
            put(system, *words, **named)
            bucket.rm("shop", recursive=True)

        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        bucket.rm("shop/live", recursive=True)
        monkeypatch.setattr(s3fs.S3FileSystem, "put_file", vanishing)
        with pytest.raises(InputError, match=r"^s3://shop/live: cannot be written .*look at the bucket"):
            pushed(shop, "s3://shop/live")
        gone = command("pull", other)
    for failed in (half, gone):
        assert failed.returncode == 2 and len(failed.stderr.strip().splitlines()) == 1
        assert "s3://shop/live" in failed.stderr
