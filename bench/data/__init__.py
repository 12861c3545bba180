"""Datasets, from cards to images: sources, decode cache, splits, shots. No methods and no torch here."""
