"""`bench results`: the verbs, carried out by `bench/commands/results/maintenance.py`."""

from __future__ import annotations

import sys

import click


@click.group()
def results() -> None:
    """Verify, merge and clean results folders."""


@results.command()
@click.argument("folder", metavar="[DIR]", required=False)
def verify(folder: str | None) -> None:
    """Check every record and its predictions; damaged ones go to DIR/quarantine, exit code 1.

    By default in the results folder written last.
    """
    from bench.commands.results import maintenance as command

    sys.exit(command.verify(folder))


@results.command()
@click.argument("into", metavar="INTO")
@click.argument("others", metavar="DIR...", nargs=-1, required=True)
def merge(into: str, others: tuple[str, ...]) -> None:
    """Add the records of other folders or baselines to INTO.

    Where several have a cell, the first record that is done stays.
    """
    from bench.commands.results import maintenance as command

    sys.exit(command.merge(into, others))


@results.command()
@click.argument("folder", metavar="[DIR]", required=False)
def gc(folder: str | None) -> None:
    """Remove files that no record refers to, which killed processes left behind."""
    from bench.commands.results import maintenance as command

    command.gc(folder)
