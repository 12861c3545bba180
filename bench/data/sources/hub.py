"""Hugging Face hub: parquet shards of a dataset repository at a pinned revision.

`huggingface_hub` keeps fetched files in its own cache, resumes interrupted downloads, and names large
files by their SHA-256, which is checked here.
"""

from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import Field

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.spec.toml import Frozen


class Hub(Frozen):
    """Files of a dataset repository."""

    type: Literal["hub"]
    repository: str
    revision: str = Field(pattern="^[0-9a-f]{40}$", description="commit, so that the images cannot change")
    files: list[str] = Field(min_length=1)
    megabytes: int = Field(description="size of the download, for messages")
    domain: str = "domain"
    label: str = "label"

    @property
    def title(self) -> str:
        """Name the repository and the first digits of the revision."""
        return f"hub {self.repository}@{self.revision[:8]}"

    def listing(self, request: SourceRequest) -> Listing:
        """List the shards; those that are not here yet are fetched."""
        files = [self._file(name, request.download) for name in self.files]
        columns = {"domain": self.domain, "label": self.label}

        def items() -> layouts.Items:
            for file in files:
                verify(file)
            return layouts.shards(files, request, columns)

        return Listing(self.title, combine(self.model_dump_json(), *map(str, files)), items)

    def _file(self, name: str, download: bool) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        def get(local: bool) -> Path:
            return Path(
                hf_hub_download(
                    self.repository,
                    name,
                    repo_type="dataset",
                    revision=self.revision,
                    local_files_only=local,
                )
            )

        try:
            return get(True)
        except LocalEntryNotFoundError:
            if not download:
                raise Absent(f"{self.repository} is not in the hub's cache") from None
        check_network()
        try:
            return get(False)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            raise Absent(f"the hub does not give {self.repository}/{name}: {reason}") from None


def check_network() -> None:
    """Raise `Absent` at once without a network, instead of after the hub library's many retries."""
    from huggingface_hub.constants import ENDPOINT

    try:
        socket.getaddrinfo(urlsplit(ENDPOINT).hostname, None)
    except OSError:
        # Behind a proxy names need not resolve here.
        if not getproxies().keys() & {"http", "https", "all"}:
            raise Absent("the hub is out of reach: no network") from None


def verify(file: Path) -> None:
    """Compare a fetched file with the SHA-256 that the hub's cache names it by.

    Raises:
        UserError: it differs; the file is removed, so that the next run fetches it again.
    """
    blob = file.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return
    with blob.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != blob.name:
        blob.unlink()
        file.unlink(missing_ok=True)
        raise UserError(f"{file.name} was damaged on its way (SHA-256 {found[:12]}…): removed; run it again")
