"""A certificate for people: what was claimed, what was found, what has to be believed; as Markdown and as one
HTML page.
"""

from tastemaker.reports.certificate.page import page
from tastemaker.reports.certificate.words import markdown

__all__ = ["markdown", "page"]
