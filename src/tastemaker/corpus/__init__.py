"""From tables to training examples: histories, splits, behaviour, metadata, mixing and reward sampling. No file access."""

from tastemaker.corpus.events import Histories, histories
from tastemaker.corpus.pairs import cooccurring_pairs
from tastemaker.corpus.splits import Split, Targets, hold_out_items, leave_one_out, swap_last_two, time_split

__all__ = [
    "Histories",
    "Split",
    "Targets",
    "cooccurring_pairs",
    "histories",
    "hold_out_items",
    "leave_one_out",
    "swap_last_two",
    "time_split",
]
