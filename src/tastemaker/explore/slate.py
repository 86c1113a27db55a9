"""Slates as they are logged: what was shown, where, and with which probability."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from tastemaker.schema import SLATES, check

GREEDY_POLICY = "greedy"


def greedy_slate(
    request_id: str, user_id: str, item_ids: Sequence[str], timestamp: datetime, policy_id: str = GREEDY_POLICY
) -> pa.Table:
    """The slate of a deterministic policy, one row a shown item, in `schema.SLATES`.

    A deterministic policy shows the item it chose at each position with certainty, so every propensity, and the
    propensity of every prefix of the slate, is 1. That is a true propensity, not a placeholder: a log of such slates
    supports no off-policy claim about items that were not shown, and the support report says so.
    """
    n = len(item_ids)
    table = pa.table(
        {
            "request_id": [request_id] * n,
            "user_id": [user_id] * n,
            "timestamp": pa.array([timestamp] * n, pa.timestamp("us", tz="UTC")),
            "position": list(range(n)),
            "item_id": pa.array(item_ids, pa.string()),
            "propensity": [1.0] * n,
            "prefix_propensity": [1.0] * n,
            "policy_id": [policy_id] * n,
        }
    )
    return check(table, SLATES, "slate")
