"""Verbs that run cells: run, tune, recommend, rank-backbones, check-search, reproduce."""
