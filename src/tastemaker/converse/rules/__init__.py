"""Models without a model: every role, and two judges, by rules, for offline use, forecasts and tests."""

from tastemaker.converse.rules.chat import RuleChat as RuleChat
from tastemaker.converse.rules.judges import FactJudge as FactJudge
from tastemaker.converse.rules.judges import WordJudge as WordJudge
