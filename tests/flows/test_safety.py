"""Short forms of the measurements of safety, as their commands run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", ["flips --flips 33 --seed 4", "live canary", "live pairs --only ingest+serve"]
)
def test_a_short_form_passes(command: str, untouched_workspace: Path) -> None:
    given = ["--workspace", str(untouched_workspace)] if command.startswith("live") else []
    run = [sys.executable, "-m", f"recipes.safety.{command.split()[0]}", *command.split()[1:], *given]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("PASS")
