"""Where results and things that are safe to delete are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from bench.errors import UserError

RESULTS = Path("results")
"""Folder of the results folders, below where a command is run."""


def cache_root() -> Path:
    """`$BENCH_CACHE`, or the user's cache folder for this program."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("transfer-bench"))


@contextmanager
def writing_to_cache() -> Iterator[None]:
    """Turn a failure to write into one line that says where the cache is and how to move it."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to the cache '{cache_root()}': {error.strerror or error}; "
            "set BENCH_CACHE to another folder"
        ) from None
