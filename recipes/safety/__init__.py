"""What the promises of safety rest on, measured: damage, kills, erasure, and commands that run at once."""
