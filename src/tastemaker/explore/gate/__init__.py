"""The gate: evidence about candidates, tests in a fixed sequence, certificates."""

from tastemaker.explore.gate.certificate import Certificate, Comparison
from tastemaker.explore.gate.certify import (
    SUPPORTS,
    Evidence,
    GateSettings,
    Spent,
    Support,
    certify,
    collect,
)
from tastemaker.explore.gate.features import Believed, Plays, believe, believe_items

__all__ = [
    "SUPPORTS",
    "Believed",
    "Certificate",
    "Comparison",
    "Evidence",
    "GateSettings",
    "Plays",
    "Spent",
    "Support",
    "believe",
    "believe_items",
    "certify",
    "collect",
]
