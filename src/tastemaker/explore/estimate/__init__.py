"""Off-policy estimates as per-round contributions."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
