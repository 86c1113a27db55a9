"""Judges: what they see and answer, how far they agree, and whether they notice planted defects."""
