"""Regressions of accuracy and speed between two sets of results."""
