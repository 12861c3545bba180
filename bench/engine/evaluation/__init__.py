"""Evaluation: predictions, partitions, label-free validators, distances of domains."""
