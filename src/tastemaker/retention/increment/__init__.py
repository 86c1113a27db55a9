"""Does an answer tell who returns beyond what the log already tells?"""

from tastemaker.retention.increment.claim import claim
from tastemaker.retention.increment.effects import Change
from tastemaker.retention.increment.rows import IncrementSettings
from tastemaker.retention.increment.table import Increment, Score, increment_table

__all__ = ["Change", "Increment", "IncrementSettings", "Score", "claim", "increment_table"]
