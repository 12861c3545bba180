"""Federated learning: clients train on items of their own, which do not leave them, and meet in rounds."""
