"""The gate: evidence about candidates, tests in a fixed sequence, certificates."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
