"""`bench cache`: sizes of the cache's parts, and their removal."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.core.errors import UserError, check_name
from bench.core.paths import CachePart, cache_root, is_marked_cache, writing_to_cache
from bench.core.text import printable


def show() -> None:
    """Print the parts of the cache."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("part")
    table.add_column("files", justify="right")
    table.add_column("size", justify="right")
    total = 0
    for part in parts():
        files, size = _measure(part)
        total += size
        table.add_row(Text(printable(_name(part))), str(files), megabytes(size))
    Console().print(table)
    click.echo(f"{megabytes(total)} in {cache_root()}")


def clear(what: str | None, yes: bool) -> None:
    """Remove everything or one part, after asking; nothing but what this program has put there.

    Raises:
        UserError: there is no such part, or the folder was not made to be a cache.
    """
    chosen = {_name(part): part for part in parts()}
    if what is not None:
        check_name("part of the cache", what, chosen)
        chosen = {what: chosen[what]}
    size = sum(_measure(part)[1] for part in chosen.values())
    if not chosen:
        click.echo(f"nothing in {cache_root()}")
        return
    if not is_marked_cache():
        raise UserError(
            f"'{cache_root()}' held files when this program first used it as a cache, so some may be yours: "
            f"delete what is not by hand ({printable(', '.join(chosen))})"
        )
    if not yes:
        names = printable(", ".join(chosen))
        click.confirm(f"remove {megabytes(size)} ({names}) from {cache_root()}?", abort=True)
    with writing_to_cache():
        for part in chosen.values():
            shutil.rmtree(part)
    click.echo(f"removed {megabytes(size)}")


def parts() -> list[Path]:
    """Folders of the cache, those of decoded images one by one; no links, and none of other names."""
    top = [path for name in get_args(CachePart) for path in _folders(cache_root(), name)]
    return [inner for path in top for inner in (_folders(path, "*") if path.name == "decoded" else [path])]


def _folders(root: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root.glob(pattern) if path.is_dir() and not path.is_symlink())


def _name(part: Path) -> str:
    return part.relative_to(cache_root()).as_posix()


def _measure(folder: Path) -> tuple[int, int]:
    """Count (files, bytes) below a folder, without files that vanish while counting."""
    files = size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
            files += 1
    return files, size


def megabytes(size: float) -> str:
    """Format bytes as `12.3 MB`."""
    return f"{size / 1e6:.1f} MB"
