"""Parsing of command-line options that several verbs share. Light: imports nothing but click."""

from __future__ import annotations

import os
from typing import Any

import click

from bench.core.errors import UserError


def parse_list(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Split `a,b` into its parts.

    Raises:
        UserError: there are none.
    """
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise UserError(f"{parameter.opts[0]} names nothing: leave it out, or name some")
    return parts


def parse_nodes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse `nodes=N`.

    Raises:
        UserError: another form, or a number out of range.
    """
    if value is None:
        return None
    name, _, number = value.partition("=")
    if name != "nodes" or not number.isdecimal() or not 1 <= int(number) <= 100_000:
        raise UserError(f"--simulate takes nodes=N like nodes=64, not '{value}'")
    return int(number)


def _environment(variable: str, kind: str = "path") -> Any:
    """Callback that puts an option into the environment, where workers in other processes see it too."""

    def put(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if not value:
            return
        if kind == "path" and not os.path.exists(str(value)):
            raise UserError(f"{parameter.opts[0]}: there is no '{value}'")
        os.environ[variable] = os.path.abspath(value) if kind == "path" else "1"

    return put


def data_options(command: Any) -> Any:
    """Decorate a verb that reads images with the options that say where they are."""
    for option in (
        click.option(
            "--skip-bad",
            is_flag=True,
            expose_value=False,
            callback=_environment("BENCH_SKIP_BAD", "flag"),
            help="Leave out images that cannot be read.",
        ),
        click.option(
            "--data-root",
            metavar="DIR",
            expose_value=False,
            callback=_environment("BENCH_DATA"),
            help="Folder that holds your copy of the dataset.  [default: $BENCH_DATA]",
        ),
        click.option(
            "--data",
            metavar="PATH",
            expose_value=False,
            callback=_environment("BENCH_OWN_DATA"),
            help="Your own images: <domain>/<class>/*, or a table with path, domain, label.",
        ),
    ):
        command = option(command)
    return command
