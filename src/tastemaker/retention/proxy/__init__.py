"""A model of the answer for every impression, asked or not."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
