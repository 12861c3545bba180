"""Generalisation: several sources are learnt from, for a domain that nobody has seen."""
