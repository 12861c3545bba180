"""Verbs that share results: submit, check a submission, site, hub."""
