"""What the answers measure: agreement between questions, distance from engagement, reliability, batteries."""

from tastemaker.rank.validity.correlation import (
    Comparison,
    compare_dependent,
    compare_independent,
    difference_by_user,
    pearson,
)
from tastemaker.rank.validity.information import Information, mutual_information
from tastemaker.rank.validity.polychoric import polychoric
from tastemaker.rank.validity.reliability import Retest, alpha, reliability_grid, retest
from tastemaker.rank.validity.table import Associations, association_table, widen

__all__ = [
    "Associations",
    "Comparison",
    "Information",
    "Retest",
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
