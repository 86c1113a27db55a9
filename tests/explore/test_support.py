from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.explore.worlds import dense_world

from tastemaker.errors import InputError
from tastemaker.explore.policy.softmax import uniform_policy
from tastemaker.explore.support import least_rewarded, support_report


def test_a_report_says_what_a_log_can_bear() -> None:
    world = dense_world(5_000)
    existing = np.arange(30) < 24
    log = replace(world.log, user=np.arange(5_000).astype(str))
    report = support_report(log, existing, world.policy)
    assert (report.rows, report.users, report.known_actions, report.novel_actions) == (5_000, 5_000, 30, 6)
    assert report.policy is not None
    weight = world.pi[np.arange(5_000), log.action] / log.propensity
    assert report.policy.expected_weight == pytest.approx(world.pi[:, :24].sum(1).mean(), abs=1e-9)
    assert report.policy.novelty == pytest.approx(1 - report.policy.expected_weight)
    assert report.policy.mean_weight == pytest.approx(weight.mean()) and abs(report.policy.z) < 4
    assert report.policy.effective_rows == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    text = report.to_text()
    assert "effective rows" in text and "novel actions, which earn nothing" in text
    assert json.loads(json.dumps(report.to_json()))["policy"]["max_weight"] == pytest.approx(weight.max())


def test_wrong_propensities_show_in_z() -> None:
    world = dense_world(5_000)
    wrong = replace(world.log, propensity=np.minimum(world.log.propensity * 1.5, 1.0))
    report = support_report(wrong, np.arange(30) < 24, world.policy)
    assert report.policy is not None and report.policy.z < -5
    assert any("may not be the logger's" in item for item in report.warnings)


def test_rewarded_rows_still_missing() -> None:
    """The logger itself needs 102 rewarded rows, as the specification says; it has 40."""
    assert least_rewarded(0.95, 0.05) == 102
    world = dense_world(2_000)
    flat = replace(
        world.log,
        action=np.arange(2_000) % 4,
        propensity=np.full(2_000, 0.25),
        actions=list("abcd"),
        reward=np.zeros(2_000),
    )
    flat.reward[:40] = 1.0
    report = support_report(flat, None, uniform_policy(4))
    assert report.policy is not None and report.policy.missing_rewarded == 62
    assert any("fewer than the 102" in item for item in report.warnings)
    none = support_report(replace(flat, reward=np.zeros(2_000)), None, uniform_policy(4))
    assert none.policy is not None and none.policy.missing_rewarded is None
    assert any("no row is rewarded" in item for item in none.warnings)


def test_warnings_of_odd_logs() -> None:
    world = dense_world(200)
    certain = replace(world.log, propensity=np.ones(200), user=np.repeat("u", 200), source="estimated")
    text = support_report(certain).to_text()
    for part in ("deterministic", "too few persons", "estimated by a fitted logger"):
        assert part in text
    with pytest.raises(InputError, match="one it played is unmarked"):
        support_report(world.log, np.zeros(30, bool))


def test_importing_the_folder_loads_no_torch() -> None:
    code = (
        "import sys, tastemaker.explore, tastemaker.explore.bounds, tastemaker.explore.estimate,"
        " tastemaker.explore.support, tastemaker.explore.policy; sys.exit('torch' in sys.modules or"
        " 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
