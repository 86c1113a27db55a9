"""Full experiments, one command each: `python -m recipes.exploration.bounds --help`; each prints a table and
saves a figure.
"""
