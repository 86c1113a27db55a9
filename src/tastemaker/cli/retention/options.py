"""The mode of the reports on surveys and retention."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from tastemaker.errors import InputError

Mode = Annotated[str, typer.Option(help="paper (as published), corrected, or both side by side.")]


def mode_of(mode: str) -> Literal["both", "paper", "corrected"]:
    """A mode. Raises InputError on another word."""
    if mode not in ("both", "paper", "corrected"):
        raise InputError(f"--mode {mode}: choose both, paper or corrected")
    return cast(Literal["both", "paper", "corrected"], mode)
