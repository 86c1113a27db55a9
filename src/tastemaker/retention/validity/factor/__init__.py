"""Batteries of several items: factor analysis, convergent and discriminant validity, invariance across
groups.
"""
