"""Errors, files, paths, seeds, text, digests: needed by every room, needing none."""
