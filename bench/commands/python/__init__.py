"""Verbs of Python: what `bench` offers to scripts and notebooks."""
