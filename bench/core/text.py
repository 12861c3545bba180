"""Text for terminals, file names and records: escaped, counted, without secrets and where a home is."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import Any

MOST = 100
"""Longest name of a results folder, in characters."""
FORBIDDEN = frozenset('/\\:*?"<>|')
"""Characters that have a meaning in file names on some system."""
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL")
"""Names of environment variables whose values are nobody's business."""
SHORTEST_SECRET = 6
"""Shortest value in characters that is looked for: shorter ones are found in any text."""


def printable(text: str) -> str:
    """Escape control, bidirectional and other invisible characters of a text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def visible(value: Any) -> Any:
    """Make a value `printable` where it is a text."""
    return printable(value) if isinstance(value, str) else value


def counted(number: int, noun: str, plural: str = "") -> str:
    """Count things, as in `1 fault` and `2 faults`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def private(text: str) -> str:
    """Remove from a text that is kept what others who read it should not learn.

    Values of environment variables whose names say that they are secret become the names; paths begin at the
    working directory, at `~` or at `site-packages`.
    """
    secrets = [(value, name) for name, value in os.environ.items() if SECRET.search(name.upper())]
    for value, name in sorted(secrets, key=lambda secret: -len(secret[0])):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"${name}")
    text = re.sub(r"(?<![^\s'\"(=:])/[^\s'\"]*/(?=(?:site|dist)-packages/)", "", text)
    home = os.path.expanduser("~")
    for folder, short in ((os.getcwd(), ""), (home, "~/"), (os.path.realpath(home), "~/")):
        if len(folder) > 1:
            text = re.sub(rf"(?<![\w/.~-]){re.escape(folder)}/", short, text)
    return text


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


def moment(text: str) -> datetime:
    """Parse a time with its zone: UTC where the text names none, 1970 where it is no time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
