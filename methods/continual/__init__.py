"""Continual learning: tasks come one after the other, and the earlier ones are not to be forgotten."""
