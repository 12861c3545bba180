"""Fingerprint of a page, by which it is left as it is where nothing has changed.

Loads nothing that pages are made with, which takes long.
"""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from pathlib import Path

from bench.core.digest import PACKAGE, combine
from bench.core.files import open_regular
from bench.data.card import CARDS

NAME = "report.html"
CODE = (".py", ".html", ".css", ".js")
BELOW = ("core", "data", "records", "spec")
"""Rooms of the package that numbers of a page come through: rules, convergence, names of what was run."""
DATA = (".toml", ".tsv")
"""Suffixes of cards, which name their sources and licences, and of tables of published accuracies."""


def has_fingerprint(page: Path, fingerprint: str) -> bool:
    """Return True if a page is there, whole, and was written with that fingerprint (hexadecimal digits)."""
    end = comment(fingerprint).encode()
    try:
        with open_regular(page) as file:
            file.seek(-len(end), os.SEEK_END)
            return file.read() == end
    except OSError:
        return False


def code_digest() -> str:
    """Digest of what pages are made with: code, cards, and versions of libraries that draw."""
    files = [*code_files(), *sorted(path for path in CARDS.iterdir() if path.suffix in DATA)]
    parts = [f"{metadata.version(name)}" for name in ("matplotlib", "pandas", "scipy", "seaborn")]
    return combine(*parts, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files))


def code_files() -> list[Path]:
    """Files of the report, and of the rooms that its numbers come through."""
    rooms = [Path(__file__).parents[1], *(PACKAGE / name for name in BELOW)]
    return sorted(path for room in rooms for path in room.rglob("*") if path.suffix in CODE)


def comment(fingerprint: str) -> str:
    """Comment that a page of that fingerprint ends with."""
    return f"<!-- {fingerprint} -->\n" if fingerprint else ""
