"""Answers by rules that are no lists: facts, and what is known of a person."""
