"""What the answers measure: agreement between questions, distance from engagement, reliability, batteries."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
