"""Archives of images, unpacked where they may write, as far as images can be packed, and nowhere else."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from bench.core.archives import COMPRESSIONS, Bounded, compression
from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.data.index import Progress
from bench.data.sources.parquet import FLOOR, RATIO

MOST_BYTES = 200 * 2**30
"""Largest archive in bytes, unpacked."""

MOST_LEVELS = 100
"""Deepest nesting of a member's folders."""


def unpack(archive: Path, out: Path, progress: Progress) -> None:
    """Unpack a zip or tar archive into a folder that does not exist yet, completely or not at all.

    Raises:
        UserError: the archive is missing or damaged, a member would be written outside the folder, or it
            unpacks to more than images can be packed into so few bytes.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".unpacking-"))
    try:
        with _opened(archive) as found:
            members, size, most = [], 0, _most(archive)
            # One after the other: those of a compressed tar are found by unpacking what lies before them.
            for member in found:
                _check(archive, member.name)
                size += member.size
                if size > most:
                    raise UserError(
                        f"refused: {archive} unpacks to more than {most / 2**20:.0f} MiB, at '{member.name}'"
                    )
                members.append(member)
            if size > (free := shutil.disk_usage(temporary).free):
                raise UserError(
                    f"{archive} unpacks to {size / 2**20:.0f} MiB, but {free / 2**20:.0f} MiB are free in "
                    f"'{out.parent}': set BENCH_CACHE to another folder"
                )
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
        ValueError,
        zlib.error,
        lzma.LZMAError,
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
def _opened(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive; gives its members as they are found."""
    with open_regular(archive) as content:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as file:
                yield _zip_members(archive, file)
            return
        content.seek(0)
        start = content.read(max(map(len, COMPRESSIONS)))
        content.seek(0)
        reader = compression(start)
        stream = Bounded(reader(content) if reader else content, _most(archive))
        try:
            tar = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115
        except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error):
            if stream.refused:
                raise
            raise UserError(f"{archive} is no zip or tar archive, or is damaged") from None
        with tar:
            # The filter refuses links that lead outside, devices, and special permissions.
            yield (Member(m.name, m.size, partial(tar.extract, m, filter="data")) for m in tar)


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[Member]:
    """Members of a zip archive, which `zipfile` unpacks in bounded memory only where they are deflated."""
    for member in file.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"refused: '{member.filename}' of {archive} is not deflated, and may unpack to any size: "
                "unpack it with another program, and name the folder with --data-root"
            )
        yield Member(member.filename, member.file_size, partial(file.extract, member))


def _most(archive: Path) -> int:
    """Most bytes that an archive of images can unpack to."""
    return min(MOST_BYTES, max(FLOOR, RATIO * archive.stat().st_size))


def _check(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise UserError(f"refused: {archive} would write outside its folder ('{name}')")
    if len(path.parts) > MOST_LEVELS:
        raise UserError(
            f"refused: {archive} has folders in each other, {len(path.parts)} deep ('{name[:40]}…'), and "
            f"{MOST_LEVELS} is the most"
        )
