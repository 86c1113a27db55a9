"""Re-ranking by the retention proxy: rules, `adjust`, and what it does to rankings."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
