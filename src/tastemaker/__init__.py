"""Tastemaker: a personal recommendation assistant built on an adapted pretrained language model."""

__version__ = "0.1.0"
