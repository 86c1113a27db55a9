"""Who answered against who was asked: exact balance weights, doubly robust means, tipping points."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
