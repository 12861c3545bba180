"""Text of other people's making, on its way to a terminal or into a file's name."""

from __future__ import annotations

import hashlib
import re

MOST = 100
"""Characters of a name that becomes a folder."""
FORBIDDEN = frozenset('/\\:*?"<>|')
"""Characters that some system gives a meaning in names of files."""


def printable(text: str) -> str:
    """The text with control, bidirectional and other invisible characters shown as escapes, not obeyed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def file_name(text: str, most: int = 60) -> str:
    """A name for a file or folder that any text can have: itself where it is harmless, else made so.

    Different texts have different names, also where they differ only in case or in how an accent is
    encoded, or are longer than file systems allow.
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", text)[:most]
    if plain == text and text:
        return text
    return f"{plain}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def name_fault(text: str) -> str | None:
    """Why a text cannot name a results folder; None where it can."""
    if not text or text.startswith(".") or len(text) > MOST:
        return f"use 1 to {MOST} characters, the first of them no '.'"
    if bad := sorted({c for c in text if c in FORBIDDEN or not c.isprintable()}):
        return f"use no {printable(bad[0])!r}"
    return None
