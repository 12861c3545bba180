"""`bench data` and `bench cache`: the verbs, carried out by `data.py` and `cache.py` beside this."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.commands import values
from bench.commands.options import data_options


@click.group()
def data() -> None:
    """List, fetch, preview and check datasets."""


@data.command("list")
@data_options
def list_() -> None:
    """List datasets: where each is, or how large a fetch would be, and its licence."""
    from bench.commands.data import data as command

    command.show()


@data.command()
@click.argument("name", shell_complete=values.datasets)
@click.option("--archive", type=click.Path(path_type=Path), help="Unpack this zip or tar instead.")
@data_options
def fetch(name: str, archive: Path | None) -> None:
    """Fetch a dataset, or unpack the archive that you downloaded; an interrupted fetch goes on."""
    from bench.commands.data import data as command

    command.fetch(name, archive)


@data.command()
@click.argument("name", required=False, shell_complete=values.datasets)
@click.option("--out", type=click.Path(path_type=Path), default=Path("preview"), show_default=True)
@data_options
def preview(name: str | None, out: Path) -> None:
    """Write a contact sheet per domain, and a page with all of them."""
    from bench.commands.data import preview as command

    click.echo(command.preview(name, out))


@data.command()
@click.argument("name", required=False, shell_complete=values.datasets)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@data_options
def check(name: str | None, as_json: bool) -> None:
    """Check every item of a dataset; exit code 1 when something is wrong."""
    from bench.commands.data import data as command

    sys.exit(command.check(name, as_json))


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="[default: card.toml in the folder]")
def card(folder: Path, out: Path | None) -> None:
    """Write a card for a folder of your own images, to be edited."""
    from bench.commands.data import data as command

    click.echo(command.write_card(folder, out))


@click.group()
def cache() -> None:
    """Show or clear the cache: decoded items, features and source stages, which can all be made again."""


@cache.command("ls")
def ls() -> None:
    """List the parts of the cache and their sizes."""
    from bench.commands.data import cache as command

    command.show()


@cache.command()
@click.argument("what", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(what: str | None, yes: bool) -> None:
    """Remove the cache, or one part of it as `ls` names it."""
    from bench.commands.data import cache as command

    command.clear(what, yes)
