"""The closed loop, rehearsed: a simulated crowd uses the running server for days, and the nights are an
operator's.
"""
