"""`bench submit | site | hub` and `bench results check-submission`, carried out by the files beside this."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.commands import values
from bench.commands.options import device_option, recorded_option


@click.command()
@click.argument("edition", metavar="SUITE@N", shell_complete=values.editions)
@click.option("--by", metavar="NAME", required=True, help="Who submits: the folder's name.")
@recorded_option
@click.option("--out", metavar="DIR", help="[default: submissions/SUITE@N/NAME]")
def submit(edition: str, by: str, results: str | None, out: str | None) -> None:
    """Pack the records of a frozen suite as a folder to add in a pull request."""
    from bench.commands.sharing import submission as command

    click.echo(command.submit(edition, by, results, out))


@click.command("check-submission")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option(
    "--against", metavar="DIR", multiple=True, help="Results or submissions that it may not contradict."
)
@click.option(
    "--rerun", metavar="K", type=click.IntRange(1, 1000), help="Run K random cells again; marks it."
)
@click.option("--into", metavar="DIR", help="Merge it into this results folder if it has no fault.")
@device_option
def check_submission(
    folders: tuple[str, ...], against: tuple[str, ...], rerun: int | None, into: str | None, device: str
) -> None:
    """Check what somebody submits; exit code 1 where there is a fault, and nothing is merged then.

    Files, checksums, the frozen suite's questions and items, predictions and the scores that follow from
    them (accuracy, balanced accuracy, AUC), coverage, and contradictions among the submissions and with
    --against.
    """
    from bench.commands.sharing import verdict as command

    sys.exit(command.judge([Path(folder) for folder in folders], against, rerun, into, device))


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, shell_complete=values.results)
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), default=Path("site"), show_default=True
)
def site(folders: tuple[str, ...], out: Path) -> None:
    """Build a static site of results folders, baselines and submissions.

    An index, a page for each suite, method and dataset, and Parquet beside them.
    """
    from bench.commands.sharing import pages as command

    command.build(folders, out)


@click.group()
def hub() -> None:
    """Push records to a repository on the Hugging Face hub, pull them, or cite them on a model card."""


@hub.command()
@click.argument("repository", metavar="OWNER/NAME")
@recorded_option
def push(repository: str, results: str | None) -> None:
    """Write records as Parquet into a dataset's repository, or into a folder (./DIR)."""
    from bench.commands.sharing import hub as command

    command.push(repository, results)


@hub.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--into", metavar="DIR", required=True, help="Results folder.")
def pull(repository: str, into: str) -> None:
    """Add the records of a dataset's repository, or of a folder of that form, to a results folder."""
    from bench.commands.sharing import hub as command

    command.pull(repository, into)


@hub.command("model-card")
@click.argument("method", metavar="METHOD", shell_complete=values.methods)
@click.option("--dataset", "repository", metavar="OWNER/NAME", required=True, help="Where the records are.")
@recorded_option
def model_card(method: str, repository: str, results: str | None) -> None:
    """Print evaluation entries for a model's repository: .eval_results/*.yaml."""
    from bench.commands.sharing import hub as command

    click.echo(command.model_card(method, repository, results), nl=False)
