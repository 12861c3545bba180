"""Files that are whole or absent, also after a loss of power."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

PIECE = 2**18
"""Bytes that are written at once."""


def write_atomically(path: Path, content: bytes, exclusive: bool = False, durable: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing.

    When this returns, the file and its name are on disk, as far as the file system tells the truth; unless it
    need not be `durable`: then a loss of power can leave anything, which its reader has to notice.

    Raises:
        FileExistsError: `exclusive`, and there is such a file; it stays as it is.
    """
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            # In one piece, Linux takes five times as long for new files of ten megabytes.
            for start in range(0, len(content), PIECE):
                file.write(content[start : start + PIECE])
            file.flush()
            if durable:
                os.fsync(file.fileno())
        # Temporary files are private; what others may read is the user's umask's to say.
        os.chmod(temporary, 0o666 & ~_umask())
        if exclusive:
            _name(temporary, path)
        else:
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """A folder and those above it, so that their names survive too."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _name(temporary: str, path: Path) -> None:
    """Give a temporary file its name, unless there is such a file: one step also on network folders."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the name is looked up first, and two may pass at once.
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
