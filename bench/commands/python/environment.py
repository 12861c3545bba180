"""Environment that a verb of Python runs in: what the command line puts there for itself and its children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from bench.core.errors import UserError
from bench.core.paths import COLUMNS, column_variable
from bench.data.objects import OwnData
from bench.data.own import own_card
from bench.processes.openmp import waiting
from bench.processes.pool import imports_main

OWN_DATA, MODALITY = "BENCH_OWN_DATA", "BENCH_MODALITY"


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
def with_own_data(own: OwnData | None) -> Iterator[None]:
    """Name one's own items within the block, as `--data`, `--label` and the others do.

    Raises:
        UserError: there is nothing at that place.
    """
    if own is not None and not own.place.exists():
        raise UserError(f"data: there is no '{own.place}'")
    # Between two calls of one process somebody may have put images into a folder.
    own_card.cache_clear()
    named: dict[str, str | None] = {}
    if own:
        named = {OWN_DATA: str(own.place.absolute()), MODALITY: own.modality}
        named |= {column_variable(name): own.columns.get(name) for name in COLUMNS}
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
