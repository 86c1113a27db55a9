"""Does an answer tell who returns beyond what the log already tells?"""

from tastemaker.rank.increment.claim import claim
from tastemaker.rank.increment.effects import Change
from tastemaker.rank.increment.rows import IncrementSettings
from tastemaker.rank.increment.table import Increment, PaperScore, Score, increment_table

__all__ = ["Change", "Increment", "IncrementSettings", "PaperScore", "Score", "claim", "increment_table"]
