"""The rules of the house, checked: parameters a reader can hold in mind, nouns for names, no pickles, a light
start.

Commands of cli/ are exempt from the first: their parameters are the options that --help lists.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tastemaker"
MODULES = sorted(SOURCE.rglob("*.py"))
ROOT = SOURCE.parents[1]
PARAMETERS, MODULE_LINES, FUNCTION_LINES, FOLDER_MODULES = 7, 450, 65, 13
NO_NOUNS = {"one", "found", "told", "made", "kept", "mine", "some", "beside", "heard", "said"}
NO_NOUN_VALUES = {  # of functions, `read` and `put` are verbs
    *("own", "given", "gone", "whole", "taken", "more", "both", "few", "rest", "spent"),
    *("used", "sent", "meant", "came", "written", "read", "put", "done"),
}
UNFINISHED = (
    "assist",
    "converse/reading",
    "store/ingest",
    "store/text",
    "retention",
    "experiment",
    "explore",
)
UNSAFE_MODULES = {"pickle", "joblib", "cloudpickle", "shelve", "dill", "marshal"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_take_few_parameters_and_modules_stay_readable(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    lines = path.read_text().count("\n")
    assert lines <= MODULE_LINES, f"{name} has {lines} lines, at most {MODULE_LINES} are allowed"
    for node in functions(path):
        body = node.body[ast.get_docstring(node) is not None :] or node.body
        length = (node.end_lineno or 0) - body[0].lineno + 1
        assert length <= FUNCTION_LINES, f"{name}:{node.lineno} {node.name} has {length} lines"
        if name.startswith("cli/"):
            continue
        given = node.args
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        count = len([one for one in names if one not in ("self", "cls")])
        assert count <= PARAMETERS, (
            f"{name}:{node.lineno} {node.name} has {count} parameters, at most {PARAMETERS}: group them in a"
            " frozen dataclass"
        )


def given_names(path: Path, functions: bool = True) -> Iterator[tuple[int, str]]:
    """Every variable, attribute, parameter, function and class that a module names, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


@pytest.mark.parametrize("folder", ["src", "recipes", "benchmarks"])
def test_names_are_nouns(folder: str) -> None:
    poor = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name in given_names(path)
        if name.lower().strip("_") in NO_NOUNS
    ]
    assert not poor, (
        f"{', '.join(poor)}: a pronoun or participle says nothing; take the noun of what it holds, as in"
        " `for row in rows`, `match = pattern.match(text)`, or `kept_items`"
    )


def test_values_are_named_by_what_they_hold() -> None:
    """The same of variables, parameters and attributes, in every room but those `UNFINISHED`."""
    poor = [
        f"{name}:{line} {value}"
        for path in MODULES
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(UNFINISHED)
        for line, value in given_names(path, functions=False)
        if value.lower().strip("_") in NO_NOUN_VALUES
    ]
    assert not poor, f"{', '.join(poor)}: take the noun of what it holds, as `digest` or `settings`"


def test_folders_hold_few_modules() -> None:
    for folder in {path.parent for path in MODULES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= FOLDER_MODULES, f"{folder.name} has {len(modules)} modules"


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


def test_answering_loads_what_answering_needs() -> None:
    """A second of processor at the start of every command that answers, and of every process that serves."""
    heavy = {"transformers", "scipy.stats", "scipy.optimize", "sklearn", "matplotlib", "statsmodels"}
    code = (
        "import sys, tastemaker.serving.once, tastemaker.retrieve.retriever, tastemaker.server\n"
        f"print(sorted({heavy} & set(sys.modules)))"
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
