"""Races against other software, side by side in one run: `make race`. Nothing here asserts a time."""
