"""Texts out of tables: rated ones of packages, and one's own."""
