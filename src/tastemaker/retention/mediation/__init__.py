"""Is it the item, the user, or the user's day? What decides whether ranking by the answers can help."""

from tastemaker.plugins import names_below

__getattr__ = names_below(__name__)
