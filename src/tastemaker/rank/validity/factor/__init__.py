"""Batteries of several items: factor analysis, convergent and discriminant validity, invariance across
groups.
"""

from tastemaker.rank.validity.factor.cfa import (
    CUTOFFS,
    CfaFit,
    average_variance,
    composite_reliability,
    fit_cfa,
)
from tastemaker.rank.validity.factor.discriminant import htmt, htmt_bounds
from tastemaker.rank.validity.factor.fit import Fit
from tastemaker.rank.validity.factor.invariance import Invariance, invariance

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
