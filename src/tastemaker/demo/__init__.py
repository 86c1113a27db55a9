"""What the demo shows: real tunes with sound and covers, and simulated listeners who play them.

Nothing here is a person: every listener's id and name says that it is simulated.
"""
