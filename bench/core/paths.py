"""Paths of results, caches and datasets, and the environment variables that set them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import platformdirs

from bench.core.errors import UserError
from bench.core.files import write_atomically

RESULTS = Path("results")
"""Folder of the results folders, relative to the working directory."""


def shown_path(path: Path) -> str:
    """Name a path without where the user's home is: from the working directory in it, else from `~`."""
    whole = path.absolute()
    if whole.is_relative_to(Path.cwd()):
        return str(whole.relative_to(Path.cwd()))
    try:
        home = Path.home()
    except RuntimeError:
        return str(path)
    return f"~/{whole.relative_to(home)}" if whole.is_relative_to(home) else str(path)


def cache_root() -> Path:
    """Return `$BENCH_CACHE`, or the user's cache folder for this program."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("transfer-bench"))


def cache_part(name: CachePart) -> Path:
    """Return a folder of the cache, whether it exists or not: nothing is kept elsewhere in it."""
    return cache_root() / name


def cache_limit() -> int:
    """Return the size limit in bytes of tensors shared between cells: `$BENCH_CACHE_GB`, or 20 GB.

    Raises:
        UserError: not a number.
    """
    text = os.environ.get("BENCH_CACHE_GB") or "20"
    try:
        return max(0, int(float(text) * 1e9))
    except (ValueError, OverflowError):
        raise UserError(
            f"BENCH_CACHE_GB = '{text}' is not a number of gigabytes: set it to 20, say"
        ) from None


CachePart = Literal[
    "artifacts",
    "decoded",
    "downloads",
    "fetched",
    "index",
    "library",
    "objects",
    "own-weights",
    "unreadable",
    "weights",
]
"""Folder of the cache."""
MARK = "CACHEDIR.TAG"
"""File that marks a folder as a cache, also for programs that make backups (https://bford.info/cachedir/)."""
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# Cache of transfer-bench.\n"


def is_marked_cache() -> bool:
    """Return True if this program has marked the cache's folder as its own, or it is the default one."""
    try:
        return (cache_root() / MARK).read_text(encoding="utf-8") == SIGNATURE
    except (OSError, UnicodeDecodeError):
        return not os.environ.get("BENCH_CACHE")


def _mark_cache() -> None:
    """Mark the cache's folder as a cache, unless it holds something: then it may be somebody's home."""
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    if all(path.name.startswith(".tmp-") for path in root.iterdir()):
        write_atomically(root / MARK, SIGNATURE.encode())


@contextmanager
def writing_to_cache() -> Iterator[None]:
    """Mark a new cache; turn a failure to write into one line that says where it is and how to move it."""
    try:
        _mark_cache()
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to the cache '{cache_root()}': {error.strerror or error}; "
            "set BENCH_CACHE to another folder"
        ) from None


def data_roots() -> list[Path]:
    """List the folders of datasets: those of `$BENCH_DATA`, joined as in `$PATH`.

    After them comes the folder into which `bench data fetch` unpacks. Options of the command line are put
    into the environment, so that workers in other processes see them too.
    """
    named = [Path(part).expanduser() for part in os.environ.get("BENCH_DATA", "").split(os.pathsep) if part]
    fetched = cache_part("fetched")
    return [root for root in (*named, fetched) if root.is_dir()]


def own_data() -> Path | None:
    """Return the folder or table of own images that `--data` names; None where it names none."""
    named = os.environ.get("BENCH_OWN_DATA")
    return Path(named) if named else None


def own_modality() -> str | None:
    """Return the modality of own items that `--modality` names; None: to be recognised."""
    return os.environ.get("BENCH_MODALITY") or None


ITEM_COLUMNS = ("text", "sequence", "image", "audio")
"""What a column of one's own table that holds items may be named for; it names their modality, too."""

COLUMNS = (*ITEM_COLUMNS, "label", "domain", "group")
"""What columns of one's own table may be named for."""


def column_variable(column: str) -> str:
    """Name the variable of the environment that holds what a table calls a column."""
    return f"BENCH_COLUMN_{column.upper()}"


def own_columns() -> tuple[tuple[str, str], ...]:
    """Return the columns that `--label`, `--domain` and others name, as pairs of option and name."""
    named = ((column, os.environ.get(column_variable(column))) for column in COLUMNS)
    return tuple((column, name) for column, name in named if name)


def published_results() -> Path | None:
    """Return the table of published results that `--published` names; None where it names none."""
    named = os.environ.get("BENCH_PUBLISHED")
    return Path(named) if named else None


def left_out_now() -> list[str]:
    """List the digests of images that could not be read since this run began, which may pass.

    They are in the environment, so that workers in other processes know them too, and are kept nowhere else.
    """
    return os.environ.get("BENCH_LEFT_OUT", "").split()


def leave_out_now(digests: Iterable[str]) -> None:
    """Add to `left_out_now`."""
    os.environ["BENCH_LEFT_OUT"] = " ".join(dict.fromkeys([*left_out_now(), *digests]))


def skip_bad() -> bool:
    """Return True if images that cannot be decoded are left out (`--skip-bad`) instead of being an error."""
    return os.environ.get("BENCH_SKIP_BAD", "") not in ("", "0")
