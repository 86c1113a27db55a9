"""The survey in the running product: asking, learning from the answers, ranking by them, and testing what
that does.
"""
