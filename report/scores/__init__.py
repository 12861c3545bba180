"""Scores of records: predictions, bootstrap, one tidy frame."""
