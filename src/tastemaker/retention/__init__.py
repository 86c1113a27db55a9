"""What happens to candidates after retrieval. Today: the evidence behind a recommendation."""

from tastemaker.retention.reasons import Reason, rarity_of, reasons

__all__ = ["Reason", "rarity_of", "reasons"]
