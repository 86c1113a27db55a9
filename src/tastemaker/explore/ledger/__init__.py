"""The ledger across deployments: bank, margins, gates, and the switch back to the logger."""

from tastemaker.explore.ledger.ledger import (
    TABLE_KIND,
    Entry,
    Ledger,
    admit,
    bank,
    live_gains,
    margin,
    record,
    settle,
    withdraw,
)
from tastemaker.explore.ledger.watch import live_ratios, watch, watch_holdout

__all__ = [
    "TABLE_KIND",
    "Entry",
    "Ledger",
    "admit",
    "bank",
    "live_gains",
    "live_ratios",
    "margin",
    "record",
    "settle",
    "watch",
    "watch_holdout",
    "withdraw",
]
