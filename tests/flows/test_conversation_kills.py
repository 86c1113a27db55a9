"""`converse run` killed with SIGKILL and resumed: the bytes of a run left alone (50 kills:
recipes.converse.flow_kills).
"""

from __future__ import annotations

import pytest
from recipes.converse.flow_kills import kill_the_flow


@pytest.mark.slow
def test_the_command_killed_and_resumed_ends_in_the_same_bytes(make_tunes, tmp_path):

    counts, rows, ids = kill_the_flow(make_tunes(tmp_path), kills=2, conversations=2, seed=1)
    assert counts.kills == 2 and counts.sessions == 3
    assert counts.same_bytes and (rows, ids) == (2, 2)
    assert counts.duplicate_units == 0 and counts.kept_asked_again == 0 and counts.asked_again <= counts.lost
