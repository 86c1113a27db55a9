"""The survey question of the running product: its words, what it may follow, and who is never asked."""

from __future__ import annotations

QUESTION = "return"
WORDS = {"text": "Would you come back for more like this?", "low": "surely not", "high": "surely"}
HEARD = 0.3  # of a play; a glance is nothing to ask about


def never_salt(seed: int) -> str:
    """What the hash of the never-asked group is salted with."""
    return f"never asked/{seed}"
