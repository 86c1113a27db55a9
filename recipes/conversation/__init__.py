"""Recipes: Agentic conversations."""
