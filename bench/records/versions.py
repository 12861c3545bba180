"""Versions of records: done ones that newer ones have replaced, and attempts that failed beside a done one.

Layout: `<root>/versions/<key>/<number>.json` with `<checksum>.safetensors`, the files that were in the folder
of records, numbered as they were replaced; and `attempt.json`, the last attempt that failed or was skipped
since the present record was stored. Whoever writes here holds the cell's lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.core.files import read_bounded, write_atomically
from bench.records.codec import LARGEST, Damaged, decode, encode
from bench.records.record import Record

FOLDER = "versions"
KEPT = 3
"""Replaced records of a cell that are kept, the newest ones."""
ATTEMPT = "attempt.json"


class Versions:
    """Versions of the records of one results folder."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER

    def keys(self) -> list[str]:
        """List the keys of cells that have versions or an attempt."""
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir())

    def numbers(self, key: str) -> list[int]:
        """List the numbers of a cell's versions, oldest first; a folder or pipe of such a name is none."""
        return sorted(number for number, path in self._numbered(key) if path.is_file())

    def _numbered(self, key: str) -> list[tuple[int, Path]]:
        """List what is named like a version, with its number."""
        paths = ((path.stem, path) for path in (self.folder / key).glob("*.json"))
        return [(int(name), path) for name, path in paths if name.isdecimal() and name.isascii()]

    def content(self, key: str, number: int) -> bytes:
        """Read the file of a version's record."""
        return read_bounded(self.folder / key / f"{number}.json", LARGEST)

    def predictions_path(self, key: str, digest: str) -> Path:
        """Return the path of predictions with this SHA-256, whether it exists or not."""
        return self.folder / key / f"{digest[:16]}.safetensors"

    def keep(self, key: str, content: bytes, digest: str | None, predictions: bytes | None) -> None:
        """Keep a record's file, readable or not, and its predictions with their SHA-256, if there are any."""
        numbers = self.numbers(key)
        same = [number for number in numbers if self.content(key, number) == content]
        if same and same[-1] == numbers[-1]:
            return
        if predictions is not None and digest is not None:
            write_atomically(self.predictions_path(key, digest), predictions)
        taken = (number for number, _ in self._numbered(key))
        write_atomically(self.folder / key / f"{max(taken, default=0) + 1}.json", content)
        for number in same:
            # It was restored in between, and is the newest now: the oldest go first.
            self.drop(key, number)

    def prune(self, key: str) -> None:
        """Remove the oldest versions beyond `KEPT`, and predictions of none."""
        for number in self.numbers(key)[:-KEPT]:
            self.drop(key, number)
        for path in self.left_over(key):
            path.unlink(missing_ok=True)

    def drop(self, key: str, number: int) -> None:
        """Remove the record of a version; its predictions are `left_over` then."""
        (self.folder / key / f"{number}.json").unlink(missing_ok=True)

    def left_over(self, key: str) -> list[Path]:
        """List predictions that no version of a cell refers to."""
        referred = set()
        for number in self.numbers(key):
            try:
                digest = decode(self.content(key, number)).predictions_sha256
            except Damaged:
                # Nobody can say which predictions are its own.
                return []
            if digest:
                referred.add(self.predictions_path(key, digest))
        return sorted({*(self.folder / key).glob("*.safetensors")} - referred)

    def files(self, key: str) -> Iterator[Path]:
        """Iterate over all files of a cell that are kept here."""
        for pattern in ("*.json", "*.safetensors"):
            yield from sorted((self.folder / key).glob(pattern))

    def write_attempt(self, record: Record) -> None:
        """Write the attempt that failed or was skipped, in place of an earlier one."""
        write_atomically(self.folder / record.key / ATTEMPT, encode(record))

    def attempt(self, key: str) -> Record | None:
        """Read the attempt that failed or was skipped after the present record; None where there is none."""
        try:
            return decode(read_bounded(self.folder / key / ATTEMPT, LARGEST))
        except (OSError, Damaged):
            return None

    def drop_attempt(self, key: str) -> None:
        """Remove the attempt, as a newer record says more."""
        (self.folder / key / ATTEMPT).unlink(missing_ok=True)
