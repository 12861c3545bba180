"""Text of other people's making, on its way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control, bidirectional and other invisible characters shown as escapes, not obeyed."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
