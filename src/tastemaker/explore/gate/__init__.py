"""The gate: evidence about candidates, tests in a fixed sequence, certificates."""

from tastemaker.explore.gate.certificate import Certificate, Comparison
from tastemaker.explore.gate.certify import (
    SUPPORTS,
    Evidence,
    GateSettings,
    Support,
    certify,
    collect,
    log_growth,
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
    "Support",
    "believe",
    "believe_items",
    "certify",
    "collect",
    "log_growth",
]
