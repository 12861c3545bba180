"""`bench results`: the verbs, carried out by `bench/commands/results/maintenance.py`."""

from __future__ import annotations

import sys

import click

from bench.commands import values


@click.group()
def results() -> None:
    """Verify, merge and clean results folders; list and restore earlier records."""


@results.command()
@click.argument("folder", metavar="[DIR]", required=False, shell_complete=values.results)
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
@click.argument("folder", metavar="[DIR]", required=False, shell_complete=values.results)
@click.option("--versions", is_flag=True, help="Remove earlier records and failed attempts too.")
def gc(folder: str | None, versions: bool) -> None:
    """Remove files that no record refers to, which killed processes left behind.

    Those of the last hour stay: their writer may be at work.
    """
    from bench.commands.results import maintenance as command

    sys.exit(command.gc(folder, versions))


@results.command()
@click.argument("folder", metavar="DIR", shell_complete=values.results)
@click.argument("key", metavar="[KEY]", required=False)
def versions(folder: str, key: str | None) -> None:
    """List earlier records that newer ones have replaced, and attempts that failed beside a done record.

    The last three of each cell are kept.
    """
    from bench.commands.results import maintenance as command

    command.versions(folder, key)


@results.command()
@click.argument("folder", metavar="DIR", shell_complete=values.results)
@click.argument("key", metavar="KEY")
@click.argument("version", metavar="VERSION", type=click.IntRange(1))
def restore(folder: str, key: str, version: int) -> None:
    """Make an earlier record of a cell its record again; the one that is there becomes a version."""
    from bench.commands.results import maintenance as command

    command.restore(folder, key, version)
