"""Shards of a dataset's repository on the Hugging Face hub, fetched at one commit.

Its parquet files alone are fetched, by `huggingface_hub` into its own cache; nothing of a repository is run.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.core.errors import UserError
from bench.core.text import printable
from bench.data.sources.base import Absent
from bench.data.sources.hub import check_network
from bench.data.sources.parquet import ENDING, keep_list

SCHEME = "hf:"

REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
"""Repository, and a revision of it: a branch, a tag or a commit."""

MOST_BYTES = 2**36
"""Most bytes of a repository's parquet files."""


def shards_at(name: str) -> tuple[Path, str]:
    """Find the shards that `hf:OWNER/NAME[@REVISION]` or `hf:FOLDER` names.

    Returns the path of their list, and a line that says what was found.

    Raises:
        UserError: there is no such repository, none here and no network, or it has no parquet files.
    """
    rest = name.removeprefix(SCHEME)
    folder = Path(rest).expanduser()
    if folder.is_dir():
        # Without links: the list is kept for the folder that they lead to now.
        place = folder.resolve()
        return keep_list(place.name, f"shards {place.name}", place), f"{name}: a folder"
    match = REPOSITORY.fullmatch(rest)
    if match is None:
        raise UserError(
            f"'{printable(name)}' is neither hf:OWNER/NAME[@REVISION] nor hf: and a folder that is there"
        )
    repository, revision = match.groups()
    snapshot, how = _snapshot(repository, revision or "main")
    title = f"hub {repository}@{snapshot.name[:8]}"
    place = keep_list(repository.partition("/")[2], title, snapshot)
    return place, f"{SCHEME}{repository}: commit {snapshot.name}{how}"


def _snapshot(repository: str, revision: str) -> tuple[Path, str]:
    """Folder of the commit that a revision is now, and how it came here; without a network, what is here."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import LocalEntryNotFoundError

    pattern = f"*{ENDING}"
    try:
        if HF_HUB_OFFLINE:
            raise Absent("HF_HUB_OFFLINE")
        check_network()
    except Absent:
        try:
            kept = snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                allow_patterns=pattern,
                local_files_only=True,
            )
        except LocalEntryNotFoundError:
            raise UserError(
                f"{SCHEME}{repository}@{revision}: no network, and no copy in the hub's cache; "
                f"fetch it elsewhere, and name the folder: --data {SCHEME}FOLDER"
            ) from None
        return Path(kept), ", of the hub's cache, as there is no network"
    return Path(_fetched(repository, revision, pattern)), ""


def _fetched(repository: str, revision: str, pattern: str) -> str:
    """Fetch the parquet files of the commit that a revision is now."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        found = HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=30)
        sizes = [each.size or 0 for each in found.siblings or [] if each.rfilename.endswith(ENDING)]
        if sum(sizes) > MOST_BYTES:
            raise UserError(
                f"refused: {repository} has {sum(sizes) / 2**30:.0f} GiB of parquet files, more than "
                f"{MOST_BYTES >> 30}: fetch some, and name their folder: --data {SCHEME}FOLDER"
            )
        return snapshot_download(repository, repo_type="dataset", revision=found.sha, allow_patterns=pattern)
    except RevisionNotFoundError:
        raise UserError(f"{SCHEME}{repository} has no revision '{revision}'") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{SCHEME}{repository}: there is no such dataset on the hub, or it is private: hf auth login"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"the hub does not give {SCHEME}{repository}: {reason}") from None
