"""docs/cli.md is what `--help` says: it cannot drift. Rewrite it with `UPDATE_DOCS=1 pytest
tests/docs/test_cli_reference.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from tastemaker.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAD = (
    "# Command line reference\n\nMade from `--help`; a test keeps it equal. `tastemaker COMMAND --help`"
    " prints the same.\n"
)


def commands(command: click.Command, path: str) -> Iterator[str]:
    """One section a command that is shown, groups before what they hold."""
    width = {"max_content_width": 110, "terminal_width": 110}
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"], **width)
    yield f"\n## `{path}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    for name, part in sorted(getattr(command, "commands", {}).items()):
        if not part.hidden:
            yield from commands(part, f"{path} {name}")


def test_the_reference_is_what_help_says(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for name in ("TASTEMAKER_WORKSPACE", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    text = HEAD + "".join(commands(typer.main.get_command(app), "tastemaker"))
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run UPDATE_DOCS=1 pytest tests/docs/test_cli_reference.py"
