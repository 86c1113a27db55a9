"""Retrieval: only items that exist and may be shown, from a constrained beam search or from simple baselines.

Importing this package loads no torch; `retrieve.beam`, `retrieve.candidates`, `retrieve.retriever` and
`retrieve.sasrec` do.
"""

from tastemaker.retrieve.allow import Allowed, Mask, allow, mask
from tastemaker.retrieve.trie import Trie, build_trie

__all__ = ["Allowed", "Mask", "Trie", "allow", "build_trie", "mask"]
