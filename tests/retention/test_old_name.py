"""Scripts of version 0.1 find retention under its old name."""

import subprocess
import sys


def test_rank_is_retention_with_a_warning() -> None:
    code = "from tastemaker.rank.weights import weighted_mean; print(weighted_mean.__name__)"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "weighted_mean" and "called tastemaker.retention now" in done.stderr
