"""Options that several commands share, and how a command ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, cast

import typer

from tastemaker.cli.output import emit
from tastemaker.errors import InputError

Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="TASTEMAKER_WORKSPACE",
        help="The workspace folder (see `tastemaker init`).",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the tables and the report.")]
Mode = Annotated[str, typer.Option(help="paper (as published), corrected, or both side by side.")]
Seed = Annotated[int, typer.Option(help="Key of resampling and folds: same seed, same numbers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def pairs(given: list[str] | None, what: str) -> dict[str, str]:
    """`name=value` options as a mapping. Raises InputError naming the option `what`."""
    found = {}
    for one in given or []:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise InputError(f"{what} {one}: write it as name=value")
        found[name] = value
    return found


def mode_of(mode: str) -> Literal["both", "paper", "corrected"]:
    """A mode. Raises InputError on another word."""
    if mode not in ("both", "paper", "corrected"):
        raise InputError(f"--mode {mode}: choose both, paper or corrected")
    return cast(Literal["both", "paper", "corrected"], mode)


def finish(result: Mapping[str, Any], as_json: bool) -> NoReturn:
    """Print what a flow returned and end with its exit code."""
    emit(result, as_json)
    raise typer.Exit(result["exit_code"])
