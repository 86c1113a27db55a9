"""Recipes: Retentive Relevance."""
