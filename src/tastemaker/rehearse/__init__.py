"""The closed loop, rehearsed: a simulated crowd uses the server for days, an operator by night."""
