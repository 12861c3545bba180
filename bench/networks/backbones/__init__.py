"""Backbones: a family of networks for each modality, their names and their weights."""
