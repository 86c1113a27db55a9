"""A data set of conversations as one page: what was checked, and some of them to read, hear and see."""

from tastemaker.reports.conversation.page import render

__all__ = ["render"]
