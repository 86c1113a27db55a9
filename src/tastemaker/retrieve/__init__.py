"""Retrieval: only items that exist and may be shown, from a constrained beam search or from simple baselines.

Importing this package loads no torch; `.beam`, `.candidates`, `.retriever` and `.sasrec` do.
"""
