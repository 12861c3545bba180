"""Members of tar archives, read in bounded memory and time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from typing import IO, Any

MOST_HEADER = 2**20
"""Largest header of a member in bytes, and largest piece that is read at once."""

COMPRESSIONS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""Readers of compressed files, by how these begin."""

FAULTS = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError, KeyError)
"""Errors of archives that are damaged, or lack a member."""


class Bounded(io.RawIOBase):
    """Content of a tar archive that is not read further than so many bytes, nor in large pieces.

    The length of a header is the archive's own word; it would be read into memory.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self.refused = False

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        if not 0 <= size <= MOST_HEADER or self._file.tell() + size > self._most + MOST_HEADER:
            self.refused = True
            raise tarfile.ReadError(
                f"refused: it goes on after {self._file.tell() / 2**20:.0f} MiB, or has a huge header"
            )
        return self._file.read(size)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, by unpacking what lies before it."""
        if whence != io.SEEK_SET or position > self._most + MOST_HEADER:
            self.refused = True
            raise tarfile.ReadError(f"refused: it goes on after {self._most / 2**20:.0f} MiB")
        return self._file.seek(position)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()


def compression(start: bytes) -> Callable[..., Any] | None:
    """Reader of a compressed file that begins like this; None where it is none."""
    return next((reader for begin, reader in COMPRESSIONS.items() if start.startswith(begin)), None)


def tar_member(content: bytes, name: str, most: int) -> bytes:
    """Content of a member of a tar archive, which may be compressed.

    Raises:
        One of `FAULTS`: the archive is damaged, lacks the member, or it or what lies before it is larger
            than `most` bytes.
    """
    reader = compression(content)
    file = io.BytesIO(content)
    with tarfile.open(fileobj=Bounded(reader(file) if reader else file, most), mode="r:") as archive:
        for member in archive:
            if member.name.removeprefix("./") == name:
                found = archive.extractfile(member) if member.isreg() else None
                if found is None:
                    raise ValueError(f"'{name}' is no file")
                parts = []
                while part := found.read(MOST_HEADER):
                    parts.append(part)
                return b"".join(parts)
    raise KeyError(name)
