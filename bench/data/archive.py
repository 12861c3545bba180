"""Archives of images, unpacked where they may write and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from bench.core.errors import UserError
from bench.data.index import Progress

MOST_BYTES = 200 * 2**30
"""Largest archive in bytes, unpacked."""


def unpack(archive: Path, out: Path, progress: Progress) -> None:
    """Unpack a zip or tar archive into a folder that does not exist yet, completely or not at all.

    Raises:
        UserError: the archive is missing or damaged, or a member would be written outside the folder.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".unpacking-"))
    try:
        with _opened(archive) as members:
            for member in members:
                _check(archive, member.name)
            _bounded(archive, sum(member.size for member in members))
            for done, member in enumerate(members, 1):
                member.extract(path=temporary)
                progress(f"unpack {archive.name}", done, len(members))
        temporary.replace(out)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise UserError(f"cannot unpack {archive}: {' '.join(str(error).split())}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class Member:
    """Member file of a zip or tar archive."""

    name: str
    size: int
    """Size in bytes, unpacked."""
    extract: Callable[..., object]
    """Function that unpacks the member into the folder `path`."""


@contextmanager
def _opened(archive: Path) -> Iterator[list[Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield [Member(m.filename, m.file_size, partial(file.extract, m)) for m in file.infolist()]
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            # The filter refuses links that lead outside, devices, and special permissions.
            yield [Member(m.name, m.size, partial(tar.extract, m, filter="data")) for m in tar.getmembers()]
    else:
        raise UserError(f"{archive} is no zip or tar archive, or is damaged")


def _check(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise UserError(f"refused: {archive} would write outside its folder ('{name}')")


def _bounded(archive: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise UserError(f"refused: {archive} unpacks to {size / 2**30:.0f} GiB")
