"""Archives of images, unpacked where they may write and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from bench.data.index import Progress
from bench.errors import UserError

MOST_BYTES = 200 * 2**30
"""What an archive may unpack to at most."""


def unpack(archive: Path, out: Path, progress: Progress) -> None:
    """Unpack a zip or tar archive into a folder that does not exist yet; all of it or nothing.

    Raises:
        UserError: no such archive, damaged, or a member would be written outside the folder.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".unpacking-"))
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, temporary, progress)
        elif tarfile.is_tarfile(archive):
            _untar(archive, temporary, progress)
        else:
            raise UserError(f"{archive} is no zip or tar archive, or is damaged")
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


def _unzip(archive: Path, out: Path, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        for member in members:
            _check(archive, member.filename)
        _bounded(archive, sum(member.file_size for member in members))
        for done, member in enumerate(members, 1):
            file.extract(member, out)
            progress(f"unpack {archive.name}", done, len(members))


def _untar(archive: Path, out: Path, progress: Progress) -> None:
    with tarfile.open(archive) as file:
        members = file.getmembers()
        for member in members:
            _check(archive, member.name)
        _bounded(archive, sum(member.size for member in members))
        for done, member in enumerate(members, 1):
            # Refuses links that lead outside, devices, and special permissions.
            file.extract(member, out, filter="data")
            progress(f"unpack {archive.name}", done, len(members))


def _check(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise UserError(f"refused: {archive} would write outside its folder ('{name}')")


def _bounded(archive: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise UserError(f"refused: {archive} unpacks to {size / 2**30:.0f} GiB")
