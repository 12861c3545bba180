"""`bench list | show | init | schema | completion`: the verbs, carried out by the files beside this."""

from __future__ import annotations

from pathlib import Path

import click

from bench.commands import values
from bench.commands.options import item_options


@click.command("list")
@click.argument(
    "what", metavar="[suites|methods|datasets|backbones]", required=False, shell_complete=values.lists
)
def list_(what: str | None) -> None:
    """List suites, methods, datasets or backbones; without a word, the names of all."""
    from bench.commands.discovery import listing

    listing.show(what)


@click.command()
@click.argument("name", metavar="SUITE|METHOD|DATASET", shell_complete=values.names)
def show(name: str) -> None:
    """Show a suite (what it asks, its cells, how long they take), a method, or a dataset's card."""
    from bench.commands.discovery import show as command

    command.show(name)


@click.command()
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path), shell_complete=values.files)
@item_options
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="[default: PATH's name.toml, here]"
)
def init(folder: Path, out: Path | None) -> None:
    """Write a suite for your own items, in a folder or a table, with comments, to be edited."""
    from bench.commands.discovery import init as command

    command.write(folder, out)


@click.command()
def schema() -> None:
    """Print the JSON Schema of suite files, for editors."""
    from bench.commands.discovery import schema as command

    click.echo(command.text())


@click.command()
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options and names.

    \b
    bash, zsh:  eval "$(bench completion bash)"
    fish:       bench completion fish | source
    """
    from bench.commands.discovery import completion as command

    click.echo(command.source(shell))
