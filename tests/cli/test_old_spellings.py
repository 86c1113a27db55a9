"""Scripts written for version 0.1 go on: its commands are there, unlisted."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app

OLD = """
survey weigh | survey validate | adjust preview | proxy fit | simulate listeners | retain increment
retain paths | encode | tokenize | corpus | forget | doctor | keys list | deployments list | mcp | base
"""


@pytest.mark.parametrize(
    "command", [spelling.strip() for spelling in OLD.replace("\n", "|").split("|") if spelling.strip()]
)
def test_a_command_of_0_1_is_there(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0 and command.split()[0] in result.output


def test_none_of_them_is_listed() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output.split()
    assert not {"survey", "retain", "encode", "tokenize", "forget", "doctor", "mcp"} & set(listed)
