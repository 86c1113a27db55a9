"""What version 0.1 wrote still counts: digests of spent rows, splits, policies and certificates, and who is
in which part or arm.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.experiment.assign import position
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy, uniform_policy
from tastemaker.explore.table import Columns, check_log, split
from tastemaker.retention.proxy.model import user_parts

ROWS = 40
# As `certificates.json` of 0.1 holds it; the ledger remembers its digest.
CERTIFICATE: dict[str, Any] = {
    "assumptions": ["rewards lie between 0 and r_max"],
    "beside": [{"lcb": -0.25, "note": "weights clipped at 100", "passed": False, "test": "Bernstein"}],
    "c": 0.95,
    "cap": 1.0,
    "delta": 0.05,
    "e_value": 1.5,
    "ess": 12.0,
    "floor": 0.9,
    "floor_lcb": -0.44,
    "lcb": -0.48,
    "log_hash": "f70c69937d8230c88e8380e1dff055d2",
    "margin": 0.0,
    "max_weight": 1.0,
    "n": 12,
    "n_rewarded": 4,
    "novelty": 0.0,
    "on_support_mass": 1.0,
    "passed": False,
    "policy_hash": "f238898ea816160dc73c6b6dce4676a2",
    "ratio": 1.0,
    "reason": "refused",
    "split_hash": "589ab079b1386ba614e3380c312ab9e4",
    "support": "logged",
    "test": "paired betting",
    "tested": True,
}


def test_rows_and_their_split_have_the_digests_of_the_first_release() -> None:
    numbers = range(ROWS)
    table = pa.table(
        {
            "x": [number / 7 for number in numbers],
            "action": [f"a{number % 4}" for number in numbers],
            "reward": [float(number % 3 == 0) for number in numbers],
            "propensity": [0.25] * ROWS,
            "user_id": [f"user {number % 13}" for number in numbers],
            "timestamp": [1_700_000_000 + number for number in numbers],
            "position": [0] * ROWS,
        }
    )
    log = check_log(table, Columns(context=("x",)), ["a0", "a1", "a2", "a3", "new"])
    assert log.hash == "b593a480fb59b96bbda30dbfb6520242"
    parts = split(log, key="7")
    assert parts.digest == "589ab079b1386ba614e3380c312ab9e4"
    assert parts.certify.hash == "f70c69937d8230c88e8380e1dff055d2"
    assert parts.certify.user is not None
    assert set(parts.certify.user.tolist()) == {"user 1", "user 5", "user 8", "user 9"}


def test_policies_have_the_digests_of_the_first_release() -> None:
    uniform = uniform_policy(5, np.array([True, True, True, True, False]))
    softmax = SoftmaxPolicy(np.eye(5)[:, :2].copy(), np.ones((1, 2)))
    assert uniform.fingerprint() == "f238898ea816160dc73c6b6dce4676a2"
    assert softmax.fingerprint() == "668e14366f0af455e3be7dd2cd1efdf2"
    assert Mixture(softmax, uniform, 0.05, 5.0).fingerprint() == "7d786b05763e40e23a9d8453f06e770d"


def test_a_certificate_of_the_first_release_has_the_digest_its_ledger_remembers() -> None:
    certificate = Certificate.from_json(json.dumps(CERTIFICATE))
    assert (
        certificate.hash == "5e5c6ba87b7070861e1cac98dfdc15b3"
        and certificate.comparisons[0].test == "Bernstein"
    )


def test_nobody_changes_arm_or_part() -> None:
    assert [position(unit, "spring") for unit in ("u1", "u2")] == [0.8075928824659471, 0.5540424794128951]
    parts = user_parts([f"u{number}" for number in range(12)], "seed")
    assert parts.tolist() == [1, 0, 1, 2, 0, 2, 0, 0, 1, 0, 0, 2]
