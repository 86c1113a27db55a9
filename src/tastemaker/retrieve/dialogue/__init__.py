"""Answers of a model that talks: items of the catalogue, or that nothing fits."""

from tastemaker.retrieve.dialogue.answers import Answer, answer
from tastemaker.retrieve.dialogue.fusion import fuse_ranks

__all__ = ["Answer", "answer", "fuse_ranks"]
