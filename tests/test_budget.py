"""The rules of the house, checked: parameters a reader can hold in mind, no circles, no pickles, a light
start.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tastemaker"
MODULES = sorted(SOURCE.rglob("*.py"))
PARAMETERS, MODULE_LINES = 7, 450
# Functions with more parameters than a reader can hold in mind, and why. Commands of cli/ are exempt: their
# parameters are the options that --help lists.
LONG = {}
UNSAFE_MODULES = {"pickle", "joblib", "cloudpickle", "shelve", "dill", "marshal"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_take_few_parameters_and_modules_stay_readable(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    lines = path.read_text().count("\n")
    assert lines <= MODULE_LINES, f"{name} has {lines} lines, at most {MODULE_LINES} are allowed"
    for node in functions(path) if not name.startswith("cli/") else []:
        given = node.args
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        count = len([one for one in names if one not in ("self", "cls")])
        assert count <= PARAMETERS or f"{name}:{node.name}" in LONG, (
            f"{name}:{node.lineno} {node.name} has {count} parameters, at most {PARAMETERS}: group them in a"
            " frozen dataclass, or name it in LONG with the reason"
        )


def test_what_is_named_as_long_is_long() -> None:
    for entry in LONG:
        name, _, function = entry.partition(":")
        found = [node for node in functions(SOURCE / name) if node.name == function]
        counts = [len((*node.args.args, *node.args.kwonlyargs)) for node in found]
        assert max(counts, default=0) > PARAMETERS, f"{entry} is short or gone: take it out of LONG"


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that importing a module loads, or that its functions load later; not those that only a
    type checker reads.
    """
    package = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    found: set[str] = set()
    skipped = {
        inner
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in map(ast.dump, node.body)
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if ast.dump(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            }
    return {name for name in found if name in known} - {package.removesuffix(".__init__")}


def test_no_circle_between_files() -> None:
    known = {
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in MODULES
    }
    graph = {name: imports_of(path, known) for name, path in known.items()}
    while leaves := {name for name, wanted in graph.items() if not wanted & graph.keys()}:
        graph = {name: wanted for name, wanted in graph.items() if name not in leaves}
    while tops := graph.keys() - {name for wanted in graph.values() for name in wanted}:
        graph = {name: wanted for name, wanted in graph.items() if name not in tops}
    circle = {name: sorted(wanted & graph.keys()) for name, wanted in graph.items()}
    assert not circle, f"these files import each other in a circle: {circle}"


def test_the_command_line_starts_light() -> None:
    heavy = {
        "torch",
        "transformers",
        "polars",
        "numpy",
        "pyarrow",
        "sklearn",
        "scipy",
        "matplotlib",
        "pandas",
    }
    code = (
        "import sys\nfrom tastemaker.cli.main import main\nsys.argv = ['tastemaker', '--help']\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\nprint(sorted({heavy} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not UNSAFE_MODULES & {name.split(".")[0] for name in names}, path
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}, f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and any(one.arg == "allow_pickle" for one in node.keywords):
            raise AssertionError(f"{path}:{node.lineno}: arrays with pickled objects")
