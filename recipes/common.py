"""What recipes and benchmarks share: arguments, a resumable journal of runs, a table and a figure on disk."""

from __future__ import annotations

import argparse
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tastemaker.cli.output import fail
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError, TastemakerError
from tastemaker.store import Workspace, append_line, read_lines, write_json, write_text
from tastemaker.store.files import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def benchmark(folder: Path, file: str) -> Path:
    """The file of a benchmark data set; where it is missing, one line that says so ends the recipe."""
    if not (folder / file).is_file():
        raise SystemExit(f"{folder / file}: this benchmark data is missing; put it there, or name its folder")
    return folder / file


class Arguments(argparse.ArgumentParser):
    """Arguments whose faults end the command in one line, exit code 2.

    Numbers are above 0, or at least 0 where that is the default or the help says what it means; files and
    folders are there, but for those that a command makes.
    """

    OUTPUTS = ("out", "env", "envs")

    def error(self, message: str) -> NoReturn:
        """Say it in one line, and exit."""
        fail(f"{message}; --help says what there is", 2)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As `argparse` does, and check the values."""
        given = super().parse_args(args, namespace)
        for action in self._actions:
            value = getattr(given, action.dest, None)
            name = action.option_strings[-1] if action.option_strings else action.dest
            for part in value if isinstance(value, list) else [value]:
                if action.type in (int, float) and part is not None:
                    none = action.default == 0 or "; 0 " in (action.help or "")
                    least = 0 if none else 1 if action.type is int else 1e-12
                    if not math.isfinite(part) or part < least or ("port" in name and part > 65_535):
                        above = "at least 0" if least == 0 else "above 0"
                        self.error(f"{name} {part}: give a number {above}")
                elif isinstance(part, Path) and (part == action.default or action.help == argparse.SUPPRESS):
                    continue  # the command says itself what it lacks, and calls itself as it needs
                elif isinstance(part, Path) and action.dest not in self.OUTPUTS and not part.exists():
                    self.error(f"{name} {part}: there is no such file or folder")
                elif action.dest == "workspace" and part is not None:
                    Workspace.open(part)
        return given


def options(description: str | None) -> Arguments:
    """The arguments of a command that has none of those all recipes have."""
    return Arguments(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def parser(main: Callable[..., object], quick: str) -> Arguments:
    """The arguments of a recipe: --out, --seed, --quick (what `quick` says); a recipe adds its own."""
    module = inspect.getmodule(main)
    arguments_parser = Arguments(
        prog=f"python -m {module.__spec__.name}" if module and module.__spec__ else None,
        description=module.__doc__ if module else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments_parser.add_argument(
        "--out", type=Path, help="folder of the table, the figure and the journal (default: runs/<recipe>)"
    )
    arguments_parser.add_argument("--seed", type=int, default=0)
    arguments_parser.add_argument("--quick", action="store_true", help=quick)
    return arguments_parser


def read_arguments(arguments_parser: Arguments, name: str) -> argparse.Namespace:
    """Parse and make the folder; a quick run has a folder of its own, so that it never passes for the full
    one.
    """
    arguments: argparse.Namespace = arguments_parser.parse_args()
    if arguments.out is None:
        arguments.out = Path("runs") / (name + ("-quick" if arguments.quick else ""))
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments


def command(main: Callable[[], object]) -> None:
    """A recipe or benchmark as a command: what it cannot use ends it in one line, with exit code 2; a number
    that it returns is its exit code.
    """
    try:
        code = main()
    except TastemakerError as error:
        fail(str(error), error.exit_code)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            fail(ended.code, 2)
        raise
    except (FileNotFoundError, NotADirectoryError, PermissionError, ConnectionError) as error:
        fail(f"{error.filename or type(error).__name__}: {error.strerror or error}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def chosen(text: str, known: Iterable[str], what: str) -> list[str]:
    """The names in `text`, with commas; none where it is empty. Raises InputError on an unknown one."""
    names, legal = [name.strip() for name in text.split(",") if name.strip()], list(known)
    for name in names:
        if name not in legal:
            raise InputError(f"{what} '{name}': there is none; choose from {', '.join(legal)}")
    return names


def shares(text: str) -> list[float]:
    """Shares of the people, such as 0.1,0.5,1. Raises InputError on other ones."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [0.0]
    if not all(0 < value <= 1 for value in values):
        raise InputError(f"share '{text}': give numbers above 0 and up to 1, such as 0.1")
    return values


def share(text: str) -> float:
    """One share of the people. Raises InputError on another one, or several."""
    values = shares(text)
    if len(values) > 1:
        raise InputError(f"share '{text}': give one number above 0 and up to 1, such as 0.1")
    return values[0]


def whole_numbers(text: str) -> list[int]:
    """Seeds or sizes such as 0,1,2. Raises InputError on others."""
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise InputError(f"'{text}': give whole numbers, such as 0,1,2")
    return [int(part) for part in text.split(",")]


class Journal:
    """Finished runs, one JSON line each, in `out/runs.jsonl`: a recipe that was stopped goes on where it was.

    settings: whatever must be equal for earlier runs to count; a journal of other settings is refused by
    name.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.path = out / "runs.jsonl"
        head = {"settings": plain(settings)}
        lines = read_lines(self.path) if self.path.exists() else []
        if not lines:
            append_line(self.path, head)
        elif lines[0] != head:
            raise InputError(
                f"{self.path} holds runs of other settings ({lines[0]['settings']}); give another --out, or"
                " remove it"
            )
        self.runs: dict[str, Any] = {entry["key"]: entry["value"] for entry in lines[1:]}

    def run(self, keys: Sequence[Any], work: Callable[[Any], Any], title: str) -> list[Any]:
        """`work(key)` (anything JSON can hold) of every key, those of the journal read back; progress and
        time left on stderr.
        """
        out = []
        with progress(False) as report:
            for place, key in enumerate(keys):
                label = json.dumps(key)
                if label not in self.runs:
                    self.runs[label] = plain(work(key))
                    append_line(self.path, {"key": label, "value": self.runs[label]})
                out.append(self.runs[label])
                report(title, place + 1, len(keys), "")
        return out


def show_table(
    out: Path, rows: Sequence[Mapping[str, Any]], title: str, note: str = "", name: str = "table"
) -> str:
    """Print the rows as a Markdown table (numbers as the recipe formatted them) and save it as Markdown and
    JSON.
    """
    columns = list(rows[0])
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in [columns, *cells]
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    text = f"## {title}\n\n" + "\n".join(lines) + "\n" + (f"\n{note}\n" if note else "")
    print(text)
    write_text(out / f"{name}.md", text)
    write_json(out / f"{name}.json", {"title": title, "rows": [dict(row) for row in rows], "note": note})
    return text


def save_figure(out: Path, figure: Figure, name: str = "figure") -> None:
    """Save as PNG (to look at) and SVG (to print), and say where."""
    for kind in ("png", "svg"):
        figure.savefig(out / f"{name}.{kind}", dpi=150, bbox_inches="tight")
    print(f"figure: {out / name}.png")
