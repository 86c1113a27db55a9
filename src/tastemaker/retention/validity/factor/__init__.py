"""Batteries of several items: factor analysis, convergent and discriminant validity, invariance across
groups.
"""

from tastemaker.retention.validity.factor.cfa import (
    CUTOFFS,
    CfaFit,
    average_variance,
    composite_reliability,
    fit_cfa,
)
from tastemaker.retention.validity.factor.discriminant import htmt, htmt_bounds
from tastemaker.retention.validity.factor.fit import Fit
from tastemaker.retention.validity.factor.invariance import Invariance, invariance

__all__ = [
    "CUTOFFS",
    "CfaFit",
    "Fit",
    "Invariance",
    "average_variance",
    "composite_reliability",
    "fit_cfa",
    "htmt",
    "htmt_bounds",
    "invariance",
]
