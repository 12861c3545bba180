"""Accuracy and speed over revisions."""
