"""The gate: evidence about candidates, tests in a fixed sequence, certificates."""

from tastemaker.explore.gate.certificate import Beside, Certificate
from tastemaker.explore.gate.certify import GateSettings, certify, log_growth
from tastemaker.explore.gate.evidence import SUPPORTS, Evidence, Support, collect
from tastemaker.explore.gate.features import Believed, believe, believe_items

__all__ = [
    "SUPPORTS",
    "Believed",
    "Beside",
    "Certificate",
    "Evidence",
    "GateSettings",
    "Support",
    "believe",
    "believe_items",
    "certify",
    "collect",
    "log_growth",
]
