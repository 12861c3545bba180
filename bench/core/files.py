"""Atomic files: whole or absent, also after a loss of power."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

DEVICES = "/dev"
PIECE = 2**18
"""Bytes per write."""

OF_A_DISK = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE})
"""Errors of a flush that say that what was written is not on disk; others, that there is no such flush."""


def write_atomically(path: Path, content: bytes, exclusive: bool = False) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing: see `atomic_file`."""
    with atomic_file(path, exclusive) as temporary, temporary.open("wb") as file:
        # In one piece, Linux can take five times as long for new files of ten megabytes.
        for start in range(0, len(content), PIECE):
            file.write(content[start : start + PIECE])


@contextlib.contextmanager
def atomic_file(path: Path, exclusive: bool = False, durable: bool = True) -> Iterator[Path]:
    """Write a file atomically: gives a temporary path, which takes the file's name when the block ends.

    After a `durable` block the file and its name are on disk, as far as the file system tells the truth;
    otherwise a loss of power can leave a damaged file, which its reader has to notice.

    Raises:
        FileExistsError: `exclusive`, and the file exists; it stays as it is.
        OSError: it cannot be written, or it would take the place of a device.
    """
    if os.path.dirname(os.path.abspath(path)) == DEVICES:
        # Root may rename a file there, which takes the device away from all programs.
        raise OSError(errno.EINVAL, "a device is no place for a file", str(path))
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        if durable:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        # Temporary files are private; the user's umask decides who may read the file.
        temporary.chmod(0o666 & ~_umask())
        if exclusive:
            _name(temporary, path)
        else:
            temporary.replace(path)
    except BaseException:
        # On a disk that fails this does, too; the first error is the one to be told.
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read it, without waiting for anybody, as an open pipe would.

    Raises:
        OSError: it cannot be opened, or is a folder, pipe, socket or device.
    """
    file: BufferedReader = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bounded(path: str | Path, largest: int) -> bytes:
    """Read a file of at most `largest` bytes.

    Raises:
        OSError: it cannot be read, is larger, or is no regular file.
    """
    with open_regular(Path(path)) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise OSError(errno.EFBIG, f"larger than {largest >> 20} MiB", str(path))
        return file.read()


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush their names to disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def _name(temporary: Path, path: Path) -> None:
    """Name a temporary file unless the name is taken: one step also on network folders."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: two processes may pass this check at once.
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        temporary.replace(path)
    else:
        temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can.

    Raises:
        OSError: it could, but the disk fails or is full.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in OF_A_DISK:
            raise


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
