"""Items by what is known of them: three-valued matching of typed clauses over the whole catalogue."""

from tastemaker.retrieve.facts.matching import COMPARISONS, Column, Matcher

__all__ = ["COMPARISONS", "Column", "Matcher"]
