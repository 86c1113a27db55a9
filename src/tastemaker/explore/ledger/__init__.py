"""The ledger across deployments: bank, margins, gates, and the switch back to the logger."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
