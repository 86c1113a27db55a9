"""Killed at random moments and resumed: the same bytes, nothing twice (50 kills:
recipes/converse/engine.py).
"""

from __future__ import annotations

from recipes.converse.engine_kills import kill_and_resume


def test_killed_runs_end_as_if_they_had_not_been(tmp_path):

    told = kill_and_resume(tmp_path, kills=3, units=20, seed=3)
    assert told.kills >= 2 and told.sessions > told.kills
    assert told.same_bytes and told.duplicate_units == 0 and told.kept_asked_again == 0
    assert told.asked_again <= told.lost
