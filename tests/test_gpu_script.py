"""The prepared GPU run works on whatever machine it is started on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_arm_leaves_a_line_and_the_smoke_test_comes_first(tmp_path: Path) -> None:
    environment = os.environ | {"SIZE": "tiny", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [str(ROOT / "benchmarks" / "gpu.sh"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert [line["arm"] for line in lines] == ["smoke", "training", "trunk", "beam"]
    assert lines[0]["last loss"] < lines[0]["first loss"] and lines[1]["events_per_s"] > 0
    assert lines[2]["tokens_per_s"] > 0 and lines[3]["beam"] == 8
