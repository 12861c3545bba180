"""Records in ZIP archives: what a baseline is on disk, read as if it were a results folder.

Layout: `<root>/<method>.zip`, whose members are named as the files of a results folder are (see `store`).
Members are read into memory and checked, never unpacked onto the disk.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

MEMBER = re.compile(r"records/(..)/(\1[^/]*)\.(json|safetensors)")
LARGEST = 2**28
"""Bytes that a member may have unpacked; a record has kilobytes, its predictions have megabytes."""

DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class Pack:
    """The archives of one folder, or some in memory; read-only."""

    def __init__(
        self, root: Path, unreadable: dict[Path, str], contents: Mapping[str, bytes] | None = None
    ) -> None:
        """What cannot be read of the archives themselves is noted in `unreadable`, as a store does."""
        self.root = root
        self._unreadable = unreadable
        self._contents = contents

    @staticmethod
    def at(root: Path) -> bool:
        """Whether a folder holds archives and no records of its own."""
        return not (root / "records").is_dir() and any(root.glob("*.zip"))

    @cached_property
    def _members(self) -> dict[str, Path]:
        """The archive of each member."""
        found: dict[str, Path] = {}
        archives = (
            self.root.glob("*.zip") if self._contents is None else map(self.root.joinpath, self._contents)
        )
        for path in sorted(archives):
            try:
                with self._open(path) as archive:
                    names = [name for name in archive.namelist() if MEMBER.fullmatch(name)]
            except (OSError, *DAMAGE) as error:
                self._unreadable[path] = f"not a readable archive: {error}"
                continue
            found.update(dict.fromkeys(names, path))
        return found

    def _open(self, path: Path) -> zipfile.ZipFile:
        return zipfile.ZipFile(path if self._contents is None else io.BytesIO(self._contents[path.name]))

    def records(self) -> list[Path]:
        """Where the files of records would be, were this a results folder."""
        return [self.root / name for name in sorted(self._members) if name.endswith(".json")]

    def holds(self, path: Path) -> bool:
        """Whether there is a member that stands for a path below `root`."""
        return path.relative_to(self.root).as_posix() in self._members

    def read(self, path: Path) -> bytes:
        """Content of the member that stands for a path below `root`.

        Raises:
            FileNotFoundError: there is none.
            OSError: its archive is damaged, or it is larger than any record's file.
        """
        name = PurePosixPath(path.relative_to(self.root)).as_posix()
        if name not in self._members:
            raise FileNotFoundError(name)
        try:
            with self._open(self._members[name]) as archive:
                if archive.getinfo(name).file_size > LARGEST:
                    raise OSError(f"{name} unpacks to more than {LARGEST >> 20} MiB")
                return archive.read(name)
        except DAMAGE as error:
            raise OSError(f"{self._members[name].name}: {name} is damaged: {error}") from None


def packed(members: Mapping[str, bytes]) -> bytes:
    """A ZIP archive of these members; the same members give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name)  # dated 1980, as a ZIP without a date is
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name], compress_type=zipfile.ZIP_BZIP2, compresslevel=9)
    return buffer.getvalue()
