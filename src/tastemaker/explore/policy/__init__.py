"""Policies: how likely each item is to be shown in a situation."""
