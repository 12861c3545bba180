"""Where results and things that are safe to delete are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from bench.core.errors import UserError

RESULTS = Path("results")
"""Folder of the results folders, below where a command is run."""


def cache_root() -> Path:
    """`$BENCH_CACHE`, or the user's cache folder for this program."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("transfer-bench"))


def cache_limit() -> int:
    """Bytes that tensors shared between cells may take: `$BENCH_CACHE_GB`, or 20 GB.

    Raises:
        UserError: not a number.
    """
    said = os.environ.get("BENCH_CACHE_GB") or "20"
    try:
        return max(0, int(float(said) * 1e9))
    except (ValueError, OverflowError):
        raise UserError(
            f"BENCH_CACHE_GB = '{said}' is not a number of gigabytes: set it to 20, say"
        ) from None


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


def data_roots() -> list[Path]:
    """Folders in which the user keeps datasets: `$BENCH_DATA`, several of them joined as in `$PATH`.

    After them what `bench data fetch` unpacked. Options of the command line are put into the environment,
    so that workers in other processes see them too.
    """
    named = [Path(part).expanduser() for part in os.environ.get("BENCH_DATA", "").split(os.pathsep) if part]
    fetched = cache_root() / "fetched"
    return [root for root in (*named, fetched) if root.is_dir()]


def own_data() -> Path | None:
    """The folder or table of one's own images that `--data` names, if any."""
    named = os.environ.get("BENCH_OWN_DATA")
    return Path(named) if named else None


def skip_bad() -> bool:
    """Whether images that cannot be decoded are left out (`--skip-bad`) instead of being an error."""
    return os.environ.get("BENCH_SKIP_BAD", "") not in ("", "0")
