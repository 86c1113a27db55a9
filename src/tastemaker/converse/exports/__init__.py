"""Conversations in the shapes that others read, and back; and the official per-turn metrics, from their
definitions.
"""
