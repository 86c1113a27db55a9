"""Worlds with known truth: tunes with sound and covers, listeners who play them, and the readers of packaged
data.

Nothing here is a person: every listener's id and name says that it is simulated.
"""
