"""Scripts of version 0.1 find retention under its old name."""

import subprocess
import sys

import pytest


def test_rank_is_retention_with_a_warning() -> None:
    code = "from tastemaker.rank.weights import weighted_mean; print(weighted_mean.__name__)"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "weighted_mean" and "called tastemaker.retention now" in done.stderr


def test_packages_have_the_names_of_their_modules() -> None:
    import tastemaker.explore.ledger as ledger
    import tastemaker.retention.weights as weights

    assert ledger.Ledger.__module__ == "tastemaker.explore.ledger.ledger" and callable(weights.weights_claim)
    for name in ("nothing", "_hidden"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(weights, name)
