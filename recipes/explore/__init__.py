"""Recipes: Safe exploration of novel items."""
