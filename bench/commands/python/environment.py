"""Environment that a verb of Python runs in: what the command line puts there for itself and its children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from bench.core.errors import UserError
from bench.data.own import own_card
from bench.processes.openmp import waiting
from bench.processes.pool import imports_main

OWN_DATA = "BENCH_OWN_DATA"


def refuse_imports() -> None:
    """End a process that runs this while it imports the script that started it.

    A child of the start methods `spawn` and `forkserver` imports its parent's script first: without a main
    guard it would run the suite once more, and so would each child.
    """
    if imports_main():
        # Printed here, since a server of forks drops the message of an exit.
        click.echo(
            "error: bench.run was called while a child process imports the main script: "
            'put the call under `if __name__ == "__main__":`',
            err=True,
        )
        sys.exit(1)


@contextmanager
def with_own_data(place: Path | None) -> Iterator[None]:
    """Name one's own images within the block, as `--data` does.

    Raises:
        UserError: there is nothing at that place.
    """
    if place is not None and not place.exists():
        raise UserError(f"data: there is no '{place}'")
    # Between two calls of one process somebody may have put images into a folder.
    own_card.cache_clear()
    named = {OWN_DATA: str(place.absolute())} if place else {}
    with _variables({**named, **waiting()}):
        yield


@contextmanager
def _variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables within the block, None: unset."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
