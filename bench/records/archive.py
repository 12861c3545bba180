"""Records in ZIP archives, the format of baselines, read as if they were a results folder.

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
"""Largest member in bytes, unpacked; a record has kilobytes, its predictions have megabytes."""

DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class Archives:
    """The archives of one folder, or some in memory; read-only."""

    def __init__(
        self, root: Path, unreadable: dict[Path, str], contents: Mapping[str, bytes] | None = None
    ) -> None:
        """Archives that cannot be opened are noted in `unreadable` with the reason."""
        self.root = root
        self._unreadable = unreadable
        self._contents = contents

    @staticmethod
    def exist_in(root: Path) -> bool:
        """Return True if a folder holds archives and no records of its own."""
        return not (root / "records").is_dir() and any(root.glob("*.zip"))

    @cached_property
    def _members(self) -> dict[str, Path]:
        """The archive of each member."""
        members: dict[str, Path] = {}
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
            members.update(dict.fromkeys(names, path))
        return members

    def _open(self, path: Path) -> zipfile.ZipFile:
        return zipfile.ZipFile(path if self._contents is None else io.BytesIO(self._contents[path.name]))

    def records(self) -> list[Path]:
        """List the paths that the records' files would have in a results folder."""
        return [self.root / name for name in sorted(self._members) if name.endswith(".json")]

    def exists(self, path: Path) -> bool:
        """Return True if there is a member for a path below `root`."""
        return path.relative_to(self.root).as_posix() in self._members

    def read(self, path: Path) -> bytes:
        """Read the member for a path below `root`.

        Raises:
            FileNotFoundError: no archive has such a member.
            OSError: its archive is damaged, or the member unpacks to more than `LARGEST` bytes.
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


def to_zip(members: Mapping[str, bytes]) -> bytes:
    """Pack members into a ZIP archive; equal members give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name)  # dated 1980, as a ZIP without a date is
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name], compress_type=zipfile.ZIP_BZIP2, compresslevel=9)
    return buffer.getvalue()
