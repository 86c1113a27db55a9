"""A model without a model: every role by rules, for offline use, forecasts and tests."""

from tastemaker.converse.rules.chat import RuleChat

__all__ = ["RuleChat"]
