"""Walk through a folder of images: what lies in it, and what in it cannot be read and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.core.errors import UserError
from bench.core.text import printable
from bench.data.sources.encoded import OF_THE_FILE, cannot_read

SUFFIXES = frozenset(
    ".jpg .jpeg .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif .jp2".split()  # noqa: SIM905
)
"""Suffixes of files that are taken for images; only the decoder can tell whether they are."""

SOUNDS = frozenset(".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au".split())  # noqa: SIM905
"""Suffixes of files that are taken for recordings."""

SUFFIXES_OF = {"image": SUFFIXES, "audio": SOUNDS}
"""Suffixes by modality, of those whose items are a file each."""

TEXTS = frozenset(
    ".txt .csv .tsv .json .xml .md .rst .toml .yaml .yml .html .htm .log .ini .db .py .sh".split()  # noqa: SIM905
)
"""Suffixes of files that lie beside images and are none."""

MOST_FILES = 4_000_000
"""Most files and folders below a folder."""

MOST_LEVELS = 32
"""Deepest nesting of folders."""


class File(NamedTuple):
    """File below a folder."""

    folders: tuple[str, ...]
    """Names of the folders from the root to the file."""
    name: str
    fault: str = ""
    """Reason why it is not read; then it may be a folder too."""

    @property
    def inside(self) -> str:
        """Path from the root."""
        return "/".join((*self.folders, self.name))

    @property
    def suffix(self) -> str:
        """Suffix in lower case."""
        return os.path.splitext(self.name)[1].lower()


@dataclass
class Unread:
    """Files that are not read, counted by reason, with an example of each."""

    suffixes: frozenset[str] = SUFFIXES
    """Suffixes of the files that are read."""
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, file: File) -> None:
        """Count a file."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, file.inside)

    def note(self, file: File) -> bool:
        """Count a file unless it is an item that can be read; returns True where it is one."""
        if file.fault or file.suffix not in self.suffixes:
            if file.fault or (file.suffix not in TEXTS and (file.suffix or file.folders)):
                self.add(file.fault or file.suffix or "without a suffix", file)
            return False
        return True

    @property
    def text(self) -> str:
        """One line, most frequent first; empty where everything was read."""
        named = (f"{count} {reason} ({self.examples[reason]})" for reason, count in self.counts.most_common())
        return ", ".join(named)


def walk(root: Path) -> Iterator[File]:
    """List the files below a folder in order, hidden ones left out; links to folders above are not followed.

    Raises:
        UserError: the folder cannot be read, or there are more files than can be listed.
    """
    # Folders are told by their number and file system's: only links lead back to one above.
    above = frozenset(_identity(folder) for folder in (root, *root.resolve().parents))
    waiting: list[tuple[tuple[str, ...], Path, frozenset[tuple[int, int]]]] = [((), root, above)]
    found = 0
    while waiting:
        folders, path, above = waiting.pop()
        inside = []
        for name, kind in _entries(path):
            found += 1
            if found > MOST_FILES:
                raise UserError(f"'{root}' holds more than {MOST_FILES // 10**6} million files")
            if kind == "folder":
                deeper = path / name
                identity = _identity(deeper)
                if identity in above:
                    yield File(folders, name, "link to a folder above it")
                elif len(folders) == MOST_LEVELS:
                    yield File(folders, name, "nested too deeply")
                else:
                    inside.append(((*folders, name), deeper, above | {identity}))
            else:
                yield File(folders, name, kind)
        waiting += reversed(inside)


def _entries(folder: Path) -> list[tuple[str, str]]:
    """List what a folder holds as (name, `folder` or the fault of a file), by name, hidden names left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        return [("", f"folder that cannot be read: {_fault(folder, error)}")]
    return [_entry(entry) for entry in entries if not entry.name.startswith(".")]


def _entry(entry: os.DirEntry[str]) -> tuple[str, str]:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return printable(entry.name), "named in another encoding than UTF-8"
    try:
        if entry.is_dir():
            return entry.name, "folder"
        # A link that leads nowhere is an image that is missing.
        regular = entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError as error:
        return entry.name, _fault(Path(entry.path), error)
    return entry.name, "" if regular else "pipe, socket or device"


def _fault(path: Path, error: OSError) -> str:
    """Name the fault of a file or a folder; what a disk or the process lacks now is no part of either."""
    if error.errno not in OF_THE_FILE:
        raise cannot_read(path, error) from None
    return error.strerror or "unreadable"


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"cannot read the folder '{path}': {error.strerror or error}") from None
    return status.st_dev, status.st_ino
