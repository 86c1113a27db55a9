"""Items by what is known of them: three-valued matching of typed clauses, and nearest items by vectors."""

from tastemaker.retrieve.facts.matching import COMPARISONS, Column, Matcher
from tastemaker.retrieve.facts.near import Near, same_melody, top

__all__ = ["COMPARISONS", "Column", "Matcher", "Near", "same_melody", "top"]
