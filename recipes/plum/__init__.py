"""Recipes: Semantic-ID recommendation."""
