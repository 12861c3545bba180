"""Modules: small networks of papers and of our own, layers that they begin with, weights read as data."""
