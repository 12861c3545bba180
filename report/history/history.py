"""History on disk, a measurement a line: `results/history/*.jsonl`, to be committed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import RESULTS
from bench.report.history.measurement import Measurement
from bench.spec.toml import describe

FOLDER = RESULTS / "history"


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

        Raises:
            UserError: the folder cannot be written.
        """
        changed: dict[Path, None] = {}
        for each in measurements:
            path = self.folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', each.suite)[:80] or 'suite'}.jsonl"
            kept = [other for other in self._files.get(path, []) if other.key != each.key]
            self._files[path] = _ordered([*kept, each])
            changed[path] = None
        written = 0
        for path in changed:
            # What cannot be read is kept: it may be another version's.
            texts = [each.model_dump_json(exclude_none=True) for each in self._files[path]]
            content = "".join(f"{text}\n" for text in [*texts, *self._damaged.get(path, [])]).encode()
            try:
                if not path.exists() or path.read_bytes() != content:
                    write_atomically(path, content)
                    written += 1
            except OSError as error:
                raise UserError(f"cannot write '{path}': {error.strerror or error}") from None
        return written

    def _read(self, path: Path) -> None:
        try:
            texts = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read '{path}': {error}") from None
        measurements: dict[tuple[str, ...], Measurement] = {}
        for number, text in enumerate(texts, 1):
            try:
                found = Measurement.model_validate_json(text)
                measurements[found.key] = found
            except ValidationError as error:
                if text.strip():
                    self.unreadable[f"{path}:{number}"] = describe(error, Measurement)
                    self._damaged.setdefault(path, []).append(text)
        self._files[path] = _ordered(measurements.values())


def _ordered(measurements: Iterable[Measurement]) -> list[Measurement]:
    return sorted(measurements, key=lambda each: (each.date, each.key))
