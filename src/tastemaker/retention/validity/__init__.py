"""What the answers measure: agreement between questions, distance from engagement, reliability, batteries."""

from tastemaker.retention.validity.correlation import (
    Comparison,
    compare_dependent,
    compare_independent,
    difference_by_user,
    pearson,
)
from tastemaker.retention.validity.information import Information, mutual_information
from tastemaker.retention.validity.polychoric import polychoric
from tastemaker.retention.validity.reliability import Retest, alpha, reliability_grid, retest
from tastemaker.retention.validity.table import Associations, ValiditySettings, association_table, widen

__all__ = [
    "Associations",
    "Comparison",
    "Information",
    "Retest",
    "ValiditySettings",
    "alpha",
    "association_table",
    "compare_dependent",
    "compare_independent",
    "difference_by_user",
    "mutual_information",
    "pearson",
    "polychoric",
    "reliability_grid",
    "retest",
    "widen",
]
