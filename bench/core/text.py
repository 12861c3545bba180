"""Escaping of foreign text for terminals and file names."""

from __future__ import annotations

import hashlib
import re
from typing import Any

MOST = 100
"""Longest name of a results folder, in characters."""
FORBIDDEN = frozenset('/\\:*?"<>|')
"""Characters that have a meaning in file names on some system."""


def printable(text: str) -> str:
    """Escape control, bidirectional and other invisible characters of a text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def visible(value: Any) -> Any:
    """Make a value `printable` where it is a text."""
    return printable(value) if isinstance(value, str) else value


def file_name(text: str, most: int = 60) -> str:
    """Make a text a safe name of a file or folder: unchanged where it is safe already.

    Different texts have different names, also where they differ only in case or in how an accent is
    encoded, or are longer than file systems allow.
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", text)[:most]
    if plain == text and text:
        return text
    return f"{plain}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def name_fault(text: str) -> str | None:
    """Explain why a text cannot name a results folder; None where it can."""
    if not text or text.startswith(".") or len(text) > MOST:
        return f"use 1 to {MOST} characters, the first of them no '.'"
    if bad := sorted({c for c in text if c in FORBIDDEN or not c.isprintable()}):
        return f"use no {printable(bad[0])!r}"
    return None
