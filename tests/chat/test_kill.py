"""Killed at random moments and resumed: the same bytes, nothing twice (50 kills:
recipes/converse/engine.py).
"""

from __future__ import annotations

from recipes.converse.engine_kills import kill_and_resume


def test_killed_runs_end_as_if_they_had_not_been(tmp_path):

    counts = kill_and_resume(tmp_path, kills=3, units=20, seed=3)
    assert counts.kills >= 2 and counts.sessions > counts.kills
    assert counts.same_bytes and counts.duplicate_units == 0 and counts.kept_asked_again == 0
    assert counts.asked_again <= counts.lost
