"""What happens to candidates after retrieval. Today: the evidence behind a recommendation."""

from tastemaker.rank.reasons import Reason, reasons

__all__ = ["Reason", "reasons"]
