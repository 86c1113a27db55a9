"""The atomic writer: old or new after any kill, disk-full and foreign formats named, leftovers told from work in progress."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tastemaker.errors import ArtifactError, InputError
from tastemaker.store import files
from tastemaker.store.folders import seal, verify_folder, write_folder

# For every line "root start" on its input, forks a writer that overwrites one file with version after version, seals one folder
# after another and appends lines until it is killed. Forking spares the imports of a new interpreter for each of many kills.
WRITERS = """
import os, sys
from pathlib import Path
from tastemaker.store.files import append_line, write_bytes
from tastemaker.store.folders import write_folder
for line in sys.stdin:
    root, start = line.split()
    root, pid = Path(root), os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)
        continue
    for n in range(int(start), 10**9):
        write_bytes(root / "file.bin", str(n).encode().ljust(8) * 40_000)
        with write_folder(root / f"folder-{n}") as temporary:
            for part in range(3):
                (temporary / f"{part}.bin").write_bytes(str(n).encode().ljust(8) * 5_000)
        append_line(root / "lines.jsonl", {"n": n, "pad": "x" * 5000})
"""


def _assert_whole(root: Path) -> None:
    if (root / "file.bin").exists():
        content = (root / "file.bin").read_bytes()
        assert content == content[:8] * 40_000
    for folder in root.glob("folder-*"):
        verify_folder(folder)
        expected = folder.name.removeprefix("folder-").encode().ljust(8) * 5_000
        assert [(folder / f"{part}.bin").read_bytes() for part in range(3)] == [expected] * 3
        shutil.rmtree(folder)
    if (root / "lines.jsonl").exists():
        numbers = [line["n"] for line in files.read_lines(root / "lines.jsonl")]
        assert numbers == sorted(set(numbers))


def test_a_killed_writer_leaves_old_or_new(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for attempt, pause in enumerate(np.random.default_rng(0).uniform(0.0, 0.04, 40)):
            writers.stdin.write(f"{tmp_path} {1000 * attempt}\n")
            writers.stdin.flush()
            pid = int(writers.stdout.readline())
            time.sleep(pause)
            os.kill(pid, signal.SIGKILL)
            assert writers.stdout.readline() == "ended\n"
            _assert_whole(tmp_path)
        writers.stdin.close()
    assert (tmp_path / "file.bin").exists()
    removed = files.sweep(tmp_path)
    assert removed, "no kill of forty came in the middle of a write"
    assert not list(tmp_path.glob(".*"))


def test_a_sweep_spares_what_is_being_written(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.txt") as file, write_folder(tmp_path / "b") as folder:
        file.write_text("x")
        (folder / "inner.txt").write_text("y")
        assert files.sweep(tmp_path) == []
    assert (tmp_path / "a.txt").read_text() == "x"
    assert (tmp_path / "b" / "inner.txt").read_text() == "y"


def test_a_sweep_touches_nothing_else(tmp_path: Path) -> None:
    for name in ("plain.txt", ".hidden", ".almost.tmp", "x.0123abcd.tmp"):
        (tmp_path / name).write_text("mine")
    dead = tmp_path / ".figure.0123abcd.tmp.png"
    dead.write_bytes(b"half")
    gone = tmp_path / ".folder.0123abcd.tmp"
    (gone / "deep").mkdir(parents=True)
    (gone / "deep" / ".inner.0123abcd.tmp").write_text("")
    assert sorted(files.sweep(tmp_path)) == sorted([dead, gone])
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["plain.txt", ".hidden", ".almost.tmp", "x.0123abcd.tmp"])


def test_an_error_in_the_block_leaves_the_old_version_and_no_temporary(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "a.txt") as file:
        file.write_text("new")
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), write_folder(tmp_path / "b"):
        raise ZeroDivisionError
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_disk_full_is_one_line_and_the_old_version_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    files.write_text(tmp_path / "a.txt", "old")
    files.append_line(tmp_path / "lines.jsonl", 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "write_bytes", full)
        writes = [lambda: files.write_text(tmp_path / "a.txt", "new")]
        if step == "fsync":
            writes.append(lambda: files.append_line(tmp_path / "lines.jsonl", 2))
        for write in writes:
            with pytest.raises(ArtifactError, match=r"disk is full.*Free some space") as caught:
                write()
            assert "\n" not in str(caught.value)
        with pytest.raises(ArtifactError, match="disk is full"), write_folder(tmp_path / "b") as folder:
            (folder / "x").touch()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert files.read_lines(tmp_path / "lines.jsonl") == [1]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.txt", "lines.jsonl"]


def test_a_full_disk_inside_a_library_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="disk is full"), files.replacing(tmp_path / "a"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file", "x")
    with pytest.raises(ArtifactError, match="cannot be written"):
        files.write_text(tmp_path / "file" / "below", "y")
    with pytest.raises(ArtifactError, match="exists already"), write_folder(tmp_path):
        pass


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    files.write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@dataclass(frozen=True)
class _Settings:
    where: Path
    rate: float


def test_plain_json_of_what_we_compute(tmp_path: Path) -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.arange(3),
        "c": float("nan"),
        4: (1, None),
        "s": {2, 1},
        "d": _Settings(Path("x/y"), np.inf),
    }
    files.write_json(tmp_path / "a.json", value)
    expected = {"a": 0.5, "b": [0, 1, 2], "c": None, "4": [1, None], "s": [1, 2], "d": {"where": "x/y", "rate": None}}
    assert json.loads((tmp_path / "a.json").read_text()) == expected


def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for n in range(3):
        files.append_line(path, {"n": n})
    whole = path.read_bytes()
    for cut in range(len(whole) - 8, len(whole)):
        path.write_bytes(whole[:cut])
        assert [one["n"] for one in files.read_lines(path)] == [0, 1]
        files.append_line(path, {"n": 9, "loss": float("nan")})
        assert [one["n"] for one in files.read_lines(path)] == [0, 1, 9]
    path.write_bytes(b'{"n": 0}\n{"n"\n{"n": 2}\n')
    with pytest.raises(ArtifactError, match=r"metrics.jsonl, line 2: damaged"):
        files.read_lines(path)


def test_lines_longer_than_a_block_survive(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    files.append_line(path, "a" * 200_000)
    with path.open("ab") as stream:
        stream.write(b'"' + b"b" * 200_000)
    files.append_line(path, "c")
    assert files.read_lines(path) == ["a" * 200_000, "c"]


NUMBERS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "f2", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abc_.", min_size=1, max_size=5), NUMBERS, max_size=3), st.booleans())
def test_arrays_come_back_equal(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], turn: bool) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    stored = {name: array.T if turn else array for name, array in arrays.items()}  # not contiguous
    files.write_arrays(path, stored)
    back = files.read_arrays(path)
    assert back.keys() == stored.keys()
    for name, array in stored.items():
        assert back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)


def test_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ArtifactError, match=r"weights.safetensors: is a pickle"):
        files.read_arrays(path)
    np.savez(path.with_suffix(".npz"), a=np.ones(2))
    with pytest.raises(ArtifactError, match="zip archive"):
        files.read_arrays(path.with_suffix(".npz"))
    np.save(path.with_suffix(".npy"), np.ones(2))
    with pytest.raises(ArtifactError, match="NumPy"):
        files.read_arrays(path.with_suffix(".npy"))
    path.write_bytes(b"\x00" * 20)
    with pytest.raises(ArtifactError, match="not a whole safetensors file"):
        files.read_arrays(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        files.read_arrays(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="array 'a' has type"):
        files.write_arrays(path, {"a": np.array(["text"])})


def test_links_are_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    with pytest.raises(ArtifactError, match="link"):
        seal(tmp_path / "a", {})
