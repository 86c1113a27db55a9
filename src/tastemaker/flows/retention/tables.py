"""Reading a user's table with its types."""

from tastemaker.store.tables import IDS, read_typed

__all__ = ["IDS", "read_typed"]
