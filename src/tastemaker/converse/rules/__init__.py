"""Models without a model: every role, and two judges, by rules, for offline use, forecasts and tests."""

from tastemaker.converse.rules.chat import RuleChat
from tastemaker.converse.rules.judges import FactJudge, WordJudge

__all__ = ["FactJudge", "RuleChat", "WordJudge"]
