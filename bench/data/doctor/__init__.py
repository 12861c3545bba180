"""Checks of a copy of a dataset: a file for each kind of fault; `examine` runs them all."""
