"""Killed at random moments and resumed: the same bytes, nothing twice (50 kills:
recipes/converse/engine.py).
"""

from __future__ import annotations

import sys
from pathlib import Path


def test_killed_runs_end_as_if_they_had_not_been(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    for name in [name for name in sys.modules if name == "recipes"]:
        monkeypatch.delitem(sys.modules, name)
    from recipes.converse.engine_kills import kill_and_resume

    told = kill_and_resume(tmp_path, kills=3, units=20, seed=3)
    assert told.kills >= 2 and told.sittings > told.kills
    assert told.same_bytes and told.duplicate_units == 0 and told.kept_asked_again == 0
    assert told.asked_again <= told.lost
