"""Figures as bytes and one self-contained HTML page of an evaluation. No file access.

`evaluation.render(report)` gives the page, `plots.drawings(report)` its figures by name, `figures` single
ones. They load matplotlib, so import them where they are used.
"""
