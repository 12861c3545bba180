"""Verbs for datasets and the cache."""
