"""The atomic writer: old or new after any kill, disk-full and foreign formats named, leftovers told from work
in progress.
"""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
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

# For every line "root step" on its input, forks a writer that replaces a file, seals a folder and appends a
# line, and is killed when Python comes to that many lines of code, in whatever module. Forking spares the
# imports of an interpreter for each kill.
WRITERS = """
import os, signal, sys
from pathlib import Path
from tastemaker.store.files import append_line, write_bytes
from tastemaker.store.folders import write_folder
left = 0
def count(frame, event, argument):
    global left
    left -= event == "line"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return count
for line in sys.stdin:
    root, step = line.split()
    root, left, pid = Path(root), int(step), os.fork()
    if pid:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    sys.settrace(count)
    write_bytes(root / "file.bin", b"new" * 1000)
    with write_folder(root / "folder") as temporary:
        (temporary / "a.bin").write_bytes(b"a")
        (temporary / "b.bin").write_bytes(b"b")
    append_line(root / "lines.jsonl", 1)
    sys.settrace(None)
    print(int(step) - left, flush=True)
    os._exit(0)
"""


def _kills(total: int) -> list[int]:
    """Forty steps spread over all of them, drawn anew in every fortieth part."""
    edges = np.linspace(0, total, 41).astype(int)
    return np.random.default_rng(0).integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)).tolist()


def test_a_writer_killed_at_any_line_leaves_old_or_new(tmp_path: Path) -> None:
    seen, steps = set(), [10**9]
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for step in steps:
            (tmp_path / "file.bin").write_bytes(b"old" * 1000)
            (tmp_path / "lines.jsonl").write_bytes(b"0\n")
            shutil.rmtree(tmp_path / "folder", ignore_errors=True)
            writers.stdin.write(f"{tmp_path} {step}\n")
            writers.stdin.flush()
            if step == steps[0]:
                steps += _kills(int(writers.stdout.readline()))
            assert int(writers.stdout.readline()) == (0 if step == steps[0] else -signal.SIGKILL)
            content, lines, sealed = (
                (tmp_path / "file.bin").read_bytes(),
                files.read_lines(tmp_path / "lines.jsonl"),
                (tmp_path / "folder").exists(),
            )
            assert content in (b"old" * 1000, b"new" * 1000)
            assert lines in ([0], [0, 1])
            if sealed:
                assert verify_folder(tmp_path / "folder")["files"].keys() == {"a.bin", "b.bin"}
            seen.add((content[:3], sealed, len(lines)))
        writers.stdin.close()
    assert seen >= {(b"old", False, 1), (b"new", False, 1), (b"new", True, 2)}
    removed = files.sweep(tmp_path)
    assert removed, "no kill came in the middle of a write"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name descriptors")
def test_contents_reach_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    rename, fsync = os.rename, os.fsync

    def flushed(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        steps.append("flush " + ("new" if ".tmp" in name else name))
        fsync(descriptor)

    def moved(self: Path, target: Path) -> Path:
        steps.append(f"rename {target.name}")
        rename(self, target)
        return target

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", moved)
    monkeypatch.setattr(Path, "rename", moved)
    files.write_text(tmp_path / "a.txt", "x")
    assert steps == ["flush new", "rename a.txt", f"flush {tmp_path.name}"]
    steps.clear()
    with write_folder(tmp_path / "b") as folder:
        (folder / "inner.txt").write_text("y")
    assert steps[0] == "flush inner.txt"
    assert steps[-2:] == ["rename b", f"flush {tmp_path.name}"]
    assert steps.index("rename manifest.json") > steps.index("flush inner.txt")
    assert "flush new" in steps[steps.index("rename manifest.json") :], "the folder's own list of names"


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
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["plain.txt", ".hidden", ".almost.tmp", "x.0123abcd.tmp"]
    )


def test_an_error_in_the_block_leaves_the_old_version_and_no_temporary(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "a.txt") as file:
        file.write_text("new")
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), write_folder(tmp_path / "b"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_disk_full_is_one_line_and_the_old_version_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "lines.jsonl"]


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
    expected = {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": None,
        "4": [1, None],
        "s": [1, 2],
        "d": {"where": "x/y", "rate": None},
    }
    assert json.loads((tmp_path / "a.json").read_text()) == expected


def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for n in range(3):
        files.append_line(path, {"n": n})
    whole = path.read_bytes()
    for cut in range(len(whole) - 8, len(whole)):
        path.write_bytes(whole[:cut])
        assert [line["n"] for line in files.read_lines(path)] == [0, 1]
        files.append_line(path, {"n": 9, "loss": float("nan")})
        assert [line["n"] for line in files.read_lines(path)] == [0, 1, 9]
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
    st.sampled_from(["<f4", ">f8", "f2", "i8", "u1", "?"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abc_.", min_size=1, max_size=5), NUMBERS, max_size=3), st.booleans())
def test_arrays_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], turn: bool
) -> None:
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
    with pytest.raises(ArtifactError, match=r"weights.safetensors: not a whole safetensors file"):
        files.read_arrays(path)
    np.savez(path.with_suffix(".npz"), a=np.ones(2))
    with pytest.raises(ArtifactError, match="not a whole"):
        files.read_arrays(path.with_suffix(".npz"))
    np.save(path.with_suffix(".npy"), np.ones(2))
    with pytest.raises(ArtifactError, match="not a whole"):
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
