"""The Python face of this part: the examples run, and every name is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tastemaker import retention

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "retention",
            ["everyone who was asked: supported", "in every cohort.", "positive (4 or 5) above"],
        ),
        (
            "experiment",
            ["people an arm see a lift of 3 %", "ship: 'visits' is better", "arms hold their shares"],
        ),
    ],
)
def test_an_example_runs(name: str, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in words), done.stdout


def test_every_name_of_a_part_is_found() -> None:
    assert not [name for name in retention.__all__ if not callable(getattr(retention, name))]
