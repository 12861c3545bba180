"""Emoji: pictures of a distribution, and glyphs that are drawn from a font."""
