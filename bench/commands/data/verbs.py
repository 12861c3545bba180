"""`bench data` and `bench cache`: the verbs; what they do is in `data.py` and `cache.py` beside this."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click


@click.group()
def data() -> None:
    """What datasets there are, and whether your copy of one is sound."""


@click.group()
def cache() -> None:
    """Decoded images, features and source stages: all of it can be made again."""


def verbs(options: Any) -> None:
    """Add the verbs; `options` says where images are, as for `bench run`."""

    @data.command("list")
    @options
    def list_() -> None:
        """What is here and what could be fetched, with size and licence."""
        from bench.commands.data import data as command

        command.show()

    @data.command()
    @click.argument("name")
    @click.option("--archive", type=click.Path(path_type=Path), help="Unpack this zip or tar instead.")
    @options
    def fetch(name: str, archive: Path | None) -> None:
        """Fetch a dataset, or unpack the archive that you downloaded; an interrupted fetch goes on."""
        from bench.commands.data import data as command

        command.fetch(name, archive)

    @data.command()
    @click.argument("name", required=False)
    @click.option("--out", type=click.Path(path_type=Path), default=Path("preview"), show_default=True)
    @options
    def preview(name: str | None, out: Path) -> None:
        """Write a contact sheet per domain, and a page with all of them."""
        from bench.commands.data import preview as command

        click.echo(command.preview(name, out))

    @data.command()
    @click.argument("name", required=False)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
    @options
    def check(name: str | None, as_json: bool) -> None:
        """The doctor: looks at every image; exit code 1 when something is wrong."""
        from bench.commands.data import data as command

        sys.exit(command.check(name, as_json))

    @data.command()
    @click.argument("folder", type=click.Path(path_type=Path))
    @click.option("--out", type=click.Path(path_type=Path), help="[default: card.toml in the folder]")
    def card(folder: Path, out: Path | None) -> None:
        """Write a card for a folder of your own images, to be edited."""
        from bench.commands.data import data as command

        click.echo(command.write_card(folder, out))

    @cache.command("ls")
    def ls() -> None:
        """What the cache holds, and how large it is."""
        from bench.commands.data import cache as command

        command.show()

    @cache.command()
    @click.argument("what", required=False)
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def clear(what: str | None, yes: bool) -> None:
        """Remove the cache, or one part of it as `ls` names it."""
        from bench.commands.data import cache as command

        command.clear(what, yes)
