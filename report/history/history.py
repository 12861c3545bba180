"""History on disk, a measurement a line: `results/history/*.jsonl`, to be committed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.files import make_folder, read_bounded, write_atomically
from bench.core.paths import RESULTS
from bench.report.history.measurement import Measurement
from bench.spec.toml import describe

FOLDER = RESULTS / "history"
LARGEST = 2**28
"""Largest file in bytes; a line has kilobytes."""


class History:
    """Measurements of a folder, in the order of their dates."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read a folder, which need not be there. Lines that cannot be read are in `unreadable`, with why."""
        self.folder = folder
        self.unreadable: dict[str, str] = {}
        self._files: dict[Path, list[Measurement]] = {}
        self._damaged: dict[Path, list[str]] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._read(path)

    @property
    def measurements(self) -> list[Measurement]:
        """Measurements, oldest first."""
        return _ordered(each for measurements in self._files.values() for each in measurements)

    def add(self, measurements: Iterable[Measurement]) -> int:
        """Write measurements, each in place of one with the same key; returns how many files changed.

        Lines that other processes add at the same time are kept.

        Raises:
            UserError: the folder cannot be written.
        """
        added: dict[Path, list[Measurement]] = defaultdict(list)
        for each in measurements:
            name = re.sub(r"[^A-Za-z0-9_-]+", "-", each.suite)[:80] or "suite"
            added[self.folder / f"{name}.jsonl"].append(each)
        written, path = 0, self.folder
        try:
            make_folder(self.folder)
            with FileLock(self.folder.with_name(f".{self.folder.name}.lock")):
                for path, new in added.items():
                    written += self._add(path, new)
        except OSError as error:
            raise UserError(f"cannot write '{path}': {error.strerror or error}") from None
        return written

    def _add(self, path: Path, new: Sequence[Measurement]) -> bool:
        """Add to a file; False if it stays as it is."""
        before = None
        if path.exists():
            # Another process may have added lines since.
            before = self._read(path)
        keys = {each.key for each in new}
        kept = [other for other in self._files.get(path, []) if other.key not in keys]
        self._files[path] = _ordered([*kept, *{each.key: each for each in new}.values()])
        # What cannot be read is kept: it may be another version's.
        texts = [each.model_dump_json(exclude_none=True) for each in self._files[path]]
        content = "".join(f"{text}\n" for text in [*texts, *self._damaged.get(path, [])]).encode()
        if content == before:
            return False
        write_atomically(path, content)
        return True

    def _read(self, path: Path) -> bytes:
        """Read a file's measurements; returns its content."""
        try:
            content = read_bounded(path, LARGEST)
            texts = content.decode().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read '{path}': {error}") from None
        measurements: dict[tuple[str, ...], Measurement] = {}
        self._damaged[path] = []
        for number, text in enumerate(texts, 1):
            try:
                found = Measurement.model_validate_json(text)
                measurements[found.key] = found
            except ValidationError as error:
                if text.strip():
                    self.unreadable[f"{path}:{number}"] = describe(error, Measurement)
                    self._damaged[path].append(text)
        self._files[path] = _ordered(measurements.values())
        return content


def _ordered(measurements: Iterable[Measurement]) -> list[Measurement]:
    return sorted(measurements, key=lambda each: (each.date, each.key))
