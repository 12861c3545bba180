"""Parsing of command-line options that several verbs share. Light: loads nothing but click."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from bench.commands import values
from bench.core.errors import UserError
from bench.core.paths import COLUMNS, column_variable
from bench.core.text import printable


def parse_list(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[str] | None:
    """Split values like `a,b` of an option that may be repeated into their parts.

    Raises:
        UserError: there are none.
    """
    return list_parts(parameter.opts[0], values) if values else None


def list_parts(option: str, values: Iterable[str], whole: Iterable[str] = ()) -> list[str]:
    """Split values at commas, but for those that are a name as a whole; each part once.

    Raises:
        UserError: there are none.
    """
    names = set(whole)
    parts = [part.strip() for text in values for part in ([text] if text in names else text.split(","))]
    if not any(parts):
        raise UserError(f"{option} names nothing: leave it out, or name some")
    return list(dict.fromkeys(filter(None, parts)))


def whole_number(text: str) -> int | None:
    """Parse digits, no more than anybody needs; None for any other text."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None


device_option = click.option(
    "--device",
    metavar="DEV",
    shell_complete=values.devices,
    default="auto",
    show_default=True,
    help="auto, cpu, cuda[:i], mps.",
)


def results_option(text: str) -> Any:
    """Option that names a results folder."""
    return click.option("--results", metavar="DIR", shell_complete=values.results, help=text)


recorded_option = results_option("A results folder.  [default: the one written last]")

equal_option = click.option(
    "--equal",
    metavar="steps|items|seconds",
    type=click.Choice(["steps", "items", "seconds"]),
    help="Rank methods at equal budget, by their evaluations along training.",
)


def parse_nodes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse `nodes=N`.

    Raises:
        UserError: another form, or a number out of range.
    """
    if value is None:
        return None
    name, _, number = value.partition("=")
    nodes = whole_number(number)
    if name != "nodes" or nodes is None or not 1 <= nodes <= 100_000:
        raise UserError(f"--simulate takes nodes=N like nodes=64, not '{value[:40]}'")
    return nodes


class Bounded(click.FloatRange):
    """Number of an option within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it; what is no number is in any range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Seconds(Bounded):
    """Seconds of an option, three years at most."""

    def __init__(self, min_open: bool = False) -> None:
        super().__init__(0, 10**8, min_open=min_open)


def _environment(variable: str, kind: str = "path") -> Any:
    """Callback that puts an option into the environment, where workers in other processes see it too."""

    def put(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if not value:
            return
        if kind == "data" and value.startswith("hf:"):
            from bench.data.sources.shards.fetching import shards_at

            place, said = shards_at(value)
            click.echo(printable(said), err=True)
            value = str(place)
        if kind in ("path", "data") and not os.path.exists(str(value)):
            raise UserError(f"{parameter.opts[0]}: there is no '{value}'")
        as_text: dict[str, Callable[[Any], str]] = {
            "path": os.path.abspath,
            "data": os.path.abspath,
            "name": str,
            "flag": lambda _: "1",
        }
        os.environ[variable] = as_text[kind](value)

    return put


COLUMN_HELP = {
    "text": "holds texts",
    "sequence": "holds sequences of letters",
    "image": "holds images, or where they are",
    "audio": "holds recordings",
    "label": "holds classes",
    "domain": "holds domains",
    "group": "says which items are never split apart",
}
"""What each column of one's own table holds."""


_ITEM_OPTIONS = (
    click.option(
        "--modality",
        metavar="NAME",
        expose_value=False,
        callback=_environment("BENCH_MODALITY", "name"),
        help="What your own items are: image, text, audio, table, sequence.  [default: as the columns say]",
    ),
    *(
        click.option(
            f"--{column}",
            metavar="COLUMN",
            expose_value=False,
            callback=_environment(column_variable(column), "name"),
            help=f"Column of your own table that {COLUMN_HELP[column]}.",
        )
        for column in reversed(COLUMNS)
    ),
)
"""Options that say what is in one's own data."""


def item_options(command: Any) -> Any:
    """Decorate a verb that reads one's own items with the options that say what they are."""
    for option in _ITEM_OPTIONS:
        command = option(command)
    return command


def data_options(command: Any) -> Any:
    """Decorate a verb that reads images with the options that say where they are."""
    for option in (
        click.option(
            "--skip-bad",
            is_flag=True,
            expose_value=False,
            callback=_environment("BENCH_SKIP_BAD", "flag"),
            help="Leave out items that cannot be read.",
        ),
        click.option(
            "--data-root",
            metavar="DIR",
            shell_complete=values.files,
            expose_value=False,
            callback=_environment("BENCH_DATA"),
            help="Folder that holds your copy of the dataset.  [default: $BENCH_DATA]",
        ),
        *_ITEM_OPTIONS,
        click.option(
            "--data",
            metavar="PATH",
            shell_complete=values.files,
            expose_value=False,
            callback=_environment("BENCH_OWN_DATA", "data"),
            help="Your own items: <domain>/<class>/*, a table with path, text or numbers, domain, label; or "
            "hf:OWNER/NAME[@REVISION], parquet files of the Hugging Face hub.",
        ),
    ):
        command = option(command)
    return command


def published_option(command: Any) -> Any:
    """Decorate a verb that shows results with the option that names published ones."""
    return click.option(
        "--published",
        metavar="FILE",
        shell_complete=values.files,
        expose_value=False,
        callback=_environment("BENCH_PUBLISHED"),
        help="Published results to show beside these: a table with method, pair, accuracy, ...",
    )(command)


@dataclass(frozen=True)
class SuiteOptions:
    """Options that select a suite, narrow its methods and domains, and replace some of its values."""

    suite: str | None = None
    methods: Sequence[str] | None = None
    source: Sequence[str] = ()
    target: Sequence[str] = ()
    shots: Sequence[str] | None = None
    backbone: Sequence[str] | None = None
    image_size: int | None = None
    steps: int | None = None
    seeds: Sequence[str] | None = None
    sets: Sequence[str] = ()
    """Hyperparameters as `method.param=value`."""
    controls: bool | None = None
    """Whether methods' controls are run; None: as the suite says."""


def _several(*names: str, **settings: Any) -> Any:
    """Option that takes several values: repeated, with commas, or both."""
    return click.option(*names, multiple=True, callback=parse_list, **settings)


SUITE_OPTIONS: dict[str, Any] = {
    "suite": click.option(
        "--suite",
        metavar="NAME",
        shell_complete=values.suites,
        help="A suite's name, or the path of a suite file (.toml).  [default with --data: by what it holds]",
    ),
    "methods": _several(
        "--methods", metavar="A,B", shell_complete=values.methods, help="Only these methods."
    ),
    # Split later, when it is known which names have a comma in them.
    "source": click.option(
        "--source",
        metavar="X,Y",
        multiple=True,
        shell_complete=values.domains,
        help="Only these source domains.",
    ),
    "target": click.option(
        "--target",
        metavar="X,Y",
        multiple=True,
        shell_complete=values.domains,
        help="Only these target domains.",
    ),
    "shots": _several(
        "--shots", metavar="0,5,all", help="These labelled target items per class instead of the suite's."
    ),
    "backbone": _several(
        "--backbone",
        metavar="B",
        shell_complete=values.backbones,
        help="This timm network instead of the suite's.",
    ),
    "image_size": click.option(
        "--image-size",
        metavar="N",
        # What an item may have, its modality says (`bench.core.modalities`), which is not light.
        type=click.IntRange(1, 10_000),
        help="Items of this size instead of the suite's: pixels, tokens, columns, milliseconds.",
    ),
    "steps": click.option(
        "--steps",
        metavar="N",
        type=click.IntRange(1),
        help="Optimiser steps of the source stage instead of the suite's; the target stage has half as many.",
    ),
    "seeds": _several("--seeds", metavar="0,1,2", help="These run seeds instead of the suite's."),
    "sets": click.option(
        "--set", "sets", metavar="METHOD.PARAM=VALUE", multiple=True, help="Set a hyperparameter."
    ),
    "controls": click.option(
        "--controls/--no-controls",
        default=None,
        help="Run the control of each method too: its recipe without its idea.  [default: as the suite]",
    ),
}
"""Options of `SuiteOptions`, by its fields."""


def suite_options(*left_out: str) -> Callable[[Any], Any]:
    """Decorate a verb of a suite with the options of `SuiteOptions`, all but some, and `data_options`.

    The verb is called with them as one `selection`.
    """
    names = [name for name in SUITE_OPTIONS if name not in left_out]

    def decorate(command: Any) -> Any:
        @wraps(command)
        def grouped(**options: Any) -> Any:
            return command(SuiteOptions(**{name: options.pop(name) for name in names}), **options)

        for name in reversed(names):
            grouped = SUITE_OPTIONS[name](grouped)
        return data_options(grouped)

    return decorate
