"""Full experiments, one command each: `python -m recipes.explore.bounds --help`; each prints a table and
saves a figure.
"""
