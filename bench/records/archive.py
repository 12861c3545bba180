"""Records in ZIP archives, the format of baselines, read as if they were a results folder.

Layout: `<root>/<method>.zip`, whose members are named as the files of a results folder are (see `store`).
Members are read into memory and checked, never unpacked onto the disk. The archives of a folder are
replaced together: all new ones are in `<root>/.new/`, with a list of their names, before an old one goes.
"""

from __future__ import annotations

import bz2
import contextlib
import copy
import errno
import io
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from bench.core.files import read_bounded, sync_folder, write_atomically

MEMBER = re.compile(r"records/(..)/(\1[^/]*)\.(json|safetensors)")
LARGEST = 2**28
"""Largest member in bytes, unpacked; a record has kilobytes, its predictions have megabytes."""

LARGEST_SUM = 2**31
"""Largest sum in bytes of an archive's members, unpacked; a baseline for a repository has a tenth."""
NEW, LIST = ".new", "archives.txt"
"""Folder of archives that are about to replace the ones beside it, once it holds the list of all."""

ABSENT = (None, errno.ENOENT, errno.ENOTDIR)
"""Numbers of errors of what is not there, or is no file of a bounded size."""

DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError, zlib.error)


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
        return not (root / "records").is_dir() and bool(archive_names(root))

    @cached_property
    def _members(self) -> dict[str, tuple[Path, zipfile.ZipFile]]:
        """The archive of each member; it stays open, so that its directory is read once."""
        members: dict[str, tuple[Path, zipfile.ZipFile]] = {}
        for archive_name in sorted(archive_names(self.root) if self._contents is None else self._contents):
            path = self.root / archive_name
            try:
                archive = self._open(path)
                if sum(info.file_size for info in archive.infolist()) > LARGEST_SUM:
                    raise OSError(f"it unpacks to more than {LARGEST_SUM >> 20} MiB")
            except (OSError, *DAMAGE) as error:
                self._unreadable[path] = f"not a readable archive: {error}"
                continue
            names = [name for name in archive.namelist() if MEMBER.fullmatch(name)]
            members.update(dict.fromkeys(names, (path, archive)))
        return members

    def _open(self, path: Path) -> zipfile.ZipFile:
        if self._contents is not None:
            return zipfile.ZipFile(io.BytesIO(self._contents[path.name]))
        try:
            return zipfile.ZipFile(path.parent / NEW / path.name)
        except FileNotFoundError:
            return zipfile.ZipFile(path)

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
        path, archive = self._members[name]
        try:
            return _unpacked(archive, archive.getinfo(name))
        except DAMAGE as error:
            raise OSError(f"{path.name}: {name} is damaged: {error}") from None


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack a member in bounded memory; `zipfile` has no bound for bzip2, whatever size a member states."""
    if info.file_size > LARGEST or info.compress_size > LARGEST:
        raise OSError(f"{info.filename} unpacks to more than {LARGEST >> 20} MiB")
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    packed.CRC = None  # type: ignore[assignment]  # that of what is unpacked, which is checked here
    with archive.open(packed) as file:
        content = file.read()
    match info.compress_type:
        case zipfile.ZIP_BZIP2:
            try:
                content = bz2.BZ2Decompressor().decompress(content, info.file_size + 1)
            except OSError as error:
                raise zipfile.BadZipFile(str(error)) from None
        case zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size + 1)
        case zipfile.ZIP_STORED:
            pass
        case other:
            raise zipfile.BadZipFile(f"compression {other}, which this program does not write")
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile("its size or checksum differs")
    return content


def archive_names(root: Path) -> list[str]:
    """List the names of a folder's archives: of the old ones until all the new ones are there."""
    try:
        return _listed_names(root)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return [path.name for path in root.glob("*.zip") if path.is_file()]


def _listed_names(root: Path) -> list[str]:
    """List the names of the archives that are about to be a folder's; `OSError` where there is no list."""
    listed = read_bounded(root / NEW / LIST, LARGEST).decode("utf-8", "replace").splitlines()
    return [name for name in listed if name.endswith(".zip") and PurePosixPath(name).name == name]


def replace_archives(root: Path, archives: Mapping[str, bytes]) -> None:
    """Replace the archives of a folder, by name; other files in it stay.

    Whoever reads meanwhile, or after this was interrupted, finds all of the old ones or all of the new ones.

    Raises:
        OSError: they cannot be written.
    """
    staged = root / f".tmp-{secrets.token_hex(4)}"
    try:
        for name, content in archives.items():
            write_atomically(staged / name, content)
        write_atomically(staged / LIST, "\n".join(sorted(archives)).encode())
        for attempt in range(10):
            _put_in_place(root)
            try:
                staged.rename(root / NEW)
                break
            except OSError:
                # Of two processes that do this at once the later one counts.
                if attempt == 9 or not (root / NEW).exists():
                    raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    sync_folder(root)
    _put_in_place(root)


def _put_in_place(root: Path) -> None:
    """Put new archives in the place of the old ones; what was interrupted is done to its end."""
    new = root / NEW
    if not new.is_dir():
        return
    # A list that cannot be read now is another matter than none, as a killed process may leave it.
    with contextlib.suppress(FileNotFoundError):
        names = _listed_names(root)
        for path in root.glob("*.zip"):
            if path.name not in names and _is_ours(path):
                path.unlink(missing_ok=True)
    for path in new.glob("*.zip"):
        with contextlib.suppress(FileNotFoundError):
            path.replace(root / path.name)
    sync_folder(root)
    shutil.rmtree(new, ignore_errors=True)


def remove_archives(root: Path) -> None:
    """Remove the archives of a folder that hold records, and the folder if nothing else is in it."""
    replace_archives(root, {})
    with contextlib.suppress(OSError):
        root.rmdir()


def _is_ours(path: Path) -> bool:
    """Return True if an archive holds nothing but files of records."""
    try:
        # In memory, since `zipfile` takes a disk that fails for damage.
        with zipfile.ZipFile(io.BytesIO(read_bounded(path, LARGEST))) as archive:
            return all(MEMBER.fullmatch(name) for name in archive.namelist())
    except DAMAGE:
        return False
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return False


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
