"""Batteries of several items: factor analysis, convergent and discriminant validity, invariance of groups."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
