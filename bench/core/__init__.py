"""Foundations that every room uses: errors, files, paths, seeds, text, digests."""
