"""Artifacts: built once, resumed after a kill, refused by name when any byte of any file has changed."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError, InputError
from tastemaker.store.artifacts import Artifacts, fingerprint
from tastemaker.store.files import write_bytes
from tastemaker.store.folders import MANIFEST, read_manifest, remove_folder, verify_folder

KEY = fingerprint("codebook", {"items": "00"}, {"levels": 4})


def _build(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "codes.bin").write_bytes(bytes(range(256)))
    (folder / "settings.json").write_text('{"levels": 4}')
    (folder / "empty").touch()


def _put(root: Path) -> Path:
    return Artifacts(root).put("codebook", KEY, _build, inputs={"items": "00"}, settings={"levels": 4})


def test_built_once_and_found_again(tmp_path: Path) -> None:
    path = _put(tmp_path)
    assert path == tmp_path / "codebook" / KEY

    def never(folder: Path) -> None:
        raise AssertionError("built twice")

    assert Artifacts(tmp_path).put("codebook", KEY, never) == path
    assert Artifacts(tmp_path).get("codebook", KEY) == path
    about = Artifacts(tmp_path).verify("codebook", KEY, full=False)
    assert (about["inputs"], about["settings"]) == ({"items": "00"}, {"levels": 4})
    assert [artifact.path for artifact in Artifacts(tmp_path).finished()] == [path]
    assert not list(tmp_path.glob("codebook/*.partial"))


def test_the_fingerprint_follows_everything_that_went_in() -> None:
    keys = {
        fingerprint("codebook", {"items": "00"}, {"levels": 4}),
        fingerprint("trie", {"items": "00"}, {"levels": 4}),
        fingerprint("codebook", {"items": "01"}, {"levels": 4}),
        fingerprint("codebook", {"items": "00"}, {"levels": 5}),
        fingerprint("codebook", {"items": "00"}, {"levels": 4}, version=2),
    }
    assert len(keys) == 5
    assert fingerprint("c", {"a": "1", "b": "2"}, None) == fingerprint("c", {"b": "2", "a": "1"}, None)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damaged_byte_is_refused_by_name(tmp_path: Path, data: st.DataObject) -> None:
    folder = _put(tmp_path)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    victim = data.draw(st.sampled_from(files))
    whole = victim.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "grow"] if whole else ["grow"]))
    at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    if kind == "flip":
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    else:
        damaged = whole[:at] if kind == "cut" else whole + b"\n"
    victim.write_bytes(damaged)
    try:
        with pytest.raises(ArtifactError) as caught:
            Artifacts(tmp_path).get("codebook", KEY)
        assert str(victim) in str(caught.value)
        assert "\n" not in str(caught.value)
        if kind != "flip" or victim.name == MANIFEST:
            with pytest.raises(ArtifactError):
                Artifacts(tmp_path).get("codebook", KEY, full=False)
    finally:
        victim.write_bytes(whole)
    Artifacts(tmp_path).get("codebook", KEY)


def test_missing_added_and_exchanged_files_are_refused(tmp_path: Path) -> None:
    folder = _put(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ArtifactError, match=r"pytorch_model.bin: not in the manifest"):
        Artifacts(tmp_path).get("codebook", KEY, full=False)
    (folder / "pytorch_model.bin").unlink()
    (folder / "empty").unlink()
    with pytest.raises(ArtifactError, match="empty: missing"):
        Artifacts(tmp_path).get("codebook", KEY)
    (folder / "empty").touch()
    (folder / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"manifest.json: cannot be read"):
        Artifacts(tmp_path).verify("codebook", KEY)
    with pytest.raises(ArtifactError, match="there is no such trie"):
        Artifacts(tmp_path).get("trie", KEY)


def test_a_folder_moved_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = _put(tmp_path)
    folder.rename(folder.with_name("0" * 32))
    with pytest.raises(ArtifactError, match="moved here"):
        Artifacts(tmp_path).get("codebook", "0" * 32)


@pytest.mark.parametrize(
    ("kind", "mark"), [("../up", "0" * 32), ("codebook", "../../etc"), ("", "0" * 32), ("codebook", "0")]
)
def test_names_cannot_leave_the_folder(tmp_path: Path, kind: str, mark: str) -> None:
    with pytest.raises(InputError):
        Artifacts(tmp_path).path(kind, mark)


def test_an_error_leaves_nothing_unless_resumable(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ZeroDivisionError

    store = Artifacts(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.put("codebook", KEY, fail)
    assert not list(store.partial("codebook", KEY).iterdir())
    with pytest.raises(ZeroDivisionError):
        store.put("codebook", KEY, fail, resume=True)
    assert [file.name for file in store.partial("codebook", KEY).iterdir()] == ["half"]
    assert not store.has("codebook", KEY)
    assert sorted(file.name for file in _put(tmp_path).iterdir()) == [
        "empty",
        "inner",
        MANIFEST,
        "settings.json",
    ]


def test_state_is_kept_between_attempts_and_dropped_at_the_end(tmp_path: Path) -> None:
    steps: list[int] = []

    def train(folder: Path) -> None:
        state = folder / "state"
        state.mkdir(exist_ok=True)
        step = int((state / "step").read_text()) if (state / "step").exists() else 0
        while step < 5:
            step += 1
            steps.append(step)
            write_bytes(state / "step", str(step).encode())
            if step == 3 and steps.count(3) == 1:
                raise KeyboardInterrupt
        (folder / "weights").write_text("done")

    store = Artifacts(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.put("model", KEY, train, resume=True)
    path = store.put("model", KEY, train, resume=True)
    assert steps == [1, 2, 3, 4, 5]
    assert sorted(file.name for file in path.iterdir()) == [MANIFEST, "weights"]


def test_a_kill_between_manifest_and_rename_loses_nothing(tmp_path: Path) -> None:
    path = _put(tmp_path)
    partial = path.with_name(f"{path.name}.partial")
    path.rename(partial)
    (partial / "state").mkdir()
    (partial / "state" / "optimiser").touch()

    def never(folder: Path) -> None:
        raise AssertionError("built twice")

    assert Artifacts(tmp_path).put("codebook", KEY, never) == path
    verify_folder(path)


HOLDER = """
import sys
from pathlib import Path
from tastemaker.store.artifacts import Artifacts
def build(folder):
    print("building", flush=True)
    sys.stdin.readline()
    (folder / "a").touch()
Artifacts(Path(sys.argv[1])).put("codebook", sys.argv[2], build)
"""


def test_a_second_builder_and_a_prune_leave_the_first_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None and first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with pytest.raises(ArtifactError, match="another process is building this"):
            _put(tmp_path)
        assert Artifacts(tmp_path).prune([]) == []
        first.stdin.write("\n")
    assert first.returncode == 0
    assert sorted(file.name for file in _put(tmp_path).iterdir()) == ["a", MANIFEST]


def test_prune_keeps_what_it_is_told(tmp_path: Path) -> None:
    path = _put(tmp_path)
    store = Artifacts(tmp_path)
    artifacts = store.finished()
    other = store.put("codebook", "f" * 32, _build)
    store.partial("model", "a" * 32)
    assert sorted(store.prune(artifacts)) == sorted([other, tmp_path / "model" / f"{'a' * 32}.partial"])
    assert path.exists() and not other.exists()


BUILDER = """
import os, sys
from pathlib import Path
from tastemaker.store.artifacts import Artifacts
def build(folder):
    for n in range(30):
        (folder / f"{n}.bin").write_bytes(sys.argv[2].encode() * 1000)
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), 9)
Artifacts(Path(sys.argv[1])).put("codebook", "0" * 32, build)
"""


def test_a_killed_build_is_no_artifact(tmp_path: Path) -> None:
    for mark, fate in (("a", "kill"), ("b", "live")):
        code = subprocess.run(
            [sys.executable, "-c", BUILDER, str(tmp_path), mark, fate], check=False
        ).returncode
        assert code == (-signal.SIGKILL if fate == "kill" else os.EX_OK)
        assert Artifacts(tmp_path).has("codebook", "0" * 32) == (fate == "live")
    folder = Artifacts(tmp_path).get("codebook", "0" * 32)
    assert {file.read_bytes() for file in folder.glob("*.bin")} == {b"b" * 1000}


def test_the_manifest_says_what_every_file_is(tmp_path: Path) -> None:
    manifest = read_manifest(_put(tmp_path))
    assert manifest["files"]["inner/codes.bin"]["size"] == 256
    assert manifest["files"].keys() == {"empty", "inner/codes.bin", "settings.json"}
    assert json.loads((tmp_path / "codebook" / KEY / MANIFEST).read_bytes())["about"]["fingerprint"] == KEY


def test_two_that_remove_one_folder_at_once_both_end_well(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / f"f{number}"
        folder.mkdir()
        for name in range(40):
            (folder / str(name)).touch()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(remove_folder, [folder] * 4))
    assert not list(tmp_path.iterdir())
