"""The whole loop in many worlds."""
