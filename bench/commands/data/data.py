"""`bench data`: list, fetch and check datasets, and write the card of own images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.progress import progress_bars
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import cache_part, own_data, writing_to_cache
from bench.core.text import counted, printable
from bench.data.card import Card, own_name
from bench.data.catalog import card_names, load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.index import find
from bench.data.sources.base import Absent

SHOWN = 5
"""Images named for each finding in the table; JSON names them all."""


def select_card(name: str | None) -> Card:
    """Card of that name, or of one's own images where none is named.

    Raises:
        UserError: neither is named, or the name is a folder's.
    """
    own = own_data()
    if name is None and own is None:
        raise UserError("say which dataset (bench data list), or your own items: --data FOLDER")
    if name is not None and name not in card_names() and Path(name).exists():
        raise UserError(f"'{name}' is a folder: --data {name}")
    return load_card(own_name(own) if name is None and own is not None else str(name))


def show() -> None:
    """Print every dataset with where it is, or how large a fetch would be."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("dataset", "here", "to fetch", "licence"):
        table.add_column(column, no_wrap=column == "dataset", overflow="fold")
    for name in card_names():
        try:
            card = load_card(name)
        except UserError as error:
            table.add_row(*(Text(printable(cell)) for cell in (name, "–", "–", f"unusable: {error}")))
            continue
        size, here = _megabytes(card), _here(card) or "–"
        fetchable = f"{size} MB" if size else "by hand" if len(card.sources) == 1 and here == "–" else "–"
        cells = (name, here, fetchable, " ".join(card.licence.split()))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


def _megabytes(card: Card) -> int:
    """Most that a fetch takes; 0 where nothing can be fetched."""
    return max((getattr(source, "megabytes", 0) for source in card.sources), default=0)


def _here(card: Card) -> str:
    """Origin of the copy that is here; empty where there is none."""
    try:
        return find(card, download=False).origin
    except Absent:
        return ""


def fetch(name: str, archive: Path | None) -> None:
    """Fetch a dataset or unpack an archive of it, print its counts, and warn if they are wrong.

    Before a fetch its size and the licence are printed.
    """
    card = load_card(name)
    if archive is None and (size := _megabytes(card)) and not _here(card):
        licence = " ".join(card.licence.split())
        click.echo(printable(f"{name}: up to {size:,} MB to fetch; licence: {licence}"))
    with progress_bars() as progress:
        if archive is not None:
            from bench.data.archive import unpack

            if not archive.is_file():
                raise UserError(f"no archive at '{archive}'")
            out = cache_part("fetched") / name
            if out.exists():
                raise UserError(f"{name} is unpacked already: bench cache clear fetched --yes removes it")
            with writing_to_cache():
                unpack(archive, out, progress)
        try:
            dataset = open_dataset(card, progress)
        except UserError:
            if archive is not None:
                # Another archive, which is none of this dataset: it would be in the way of the right one.
                shutil.rmtree(out, ignore_errors=True)
            raise
    for warning in dataset.warnings:
        click.echo(printable(f"warning: {warning}"), err=True)
    counts = ", ".join(f"{domain.name} {len(domain.names)}" for domain in dataset.domains.values())
    click.echo(printable(f"{name} from {dataset.origin}: {counts}"))


def check(name: str | None, as_json: bool) -> int:
    """Print the faults of a dataset; returns the exit code, 1 if there are any."""
    from bench.data.doctor.examine import examine

    with progress_bars() as progress:
        card = select_card(name)
        diagnosis = examine(open_dataset(card, progress), progress)
    if as_json:
        click.echo(json.dumps(diagnosis.as_json(), indent=1))
        return 0 if diagnosis.healthy else 1
    console = Console()
    table = Table(title=f"{diagnosis.dataset} from {diagnosis.origin}", title_justify="left")
    for column in diagnosis.domains[0] if diagnosis.domains else []:
        table.add_column(column, justify="left" if column == "domain" else "right")
    for row in diagnosis.domains:
        table.add_row(*(Text("–" if value is None else printable(str(value))) for value in row.values()))
    console.print(table)
    console.print(Text(printable(" ".join(card.description.split()))), soft_wrap=True)
    for finding in diagnosis.findings:
        console.print(Text(printable(f"{finding.level}: {finding.kind}: {finding.message}")), soft_wrap=True)
        for image in finding.images[:SHOWN]:
            console.print(Text(printable(f"    {image}")), soft_wrap=True)
        if len(finding.images) > SHOWN:
            console.print(f"    and {len(finding.images) - SHOWN} more (--json names all)")
    faults = sum(finding.level == "fault" for finding in diagnosis.findings)
    console.print("nothing is wrong" if diagnosis.healthy else counted(faults, "fault"))
    return 0 if diagnosis.healthy else 1


def write_card(folder: Path, out: Path | None) -> Path:
    """Write the card of a folder's own images as TOML."""
    from bench.data.own import CARD, own_card

    card = own_card(folder)
    path = out or folder / CARD
    if path.exists():
        raise UserError(f"'{path}' is there already: name another file with --out")
    dataset: Dataset = open_dataset(card)
    counts = {name: len(domain.names) for name, domain in dataset.domains.items()}
    write_atomically(path, _toml(card, counts, folder.resolve().name).encode())
    return path


def _toml(card: Card, counts: dict[str, int], folder: str) -> str:
    """Format a card as TOML; JSON's strings, numbers and lists are TOML's."""

    def line(key: str, value: Any) -> str:
        return (
            f"{json.dumps(key) if not key.isidentifier() else key} = {json.dumps(value, ensure_ascii=False)}"
        )

    fields = ("title", "description", "homepage", "licence", "citation", "domains", "classes", "fit")
    lines = [line(name, getattr(card, name)) for name in fields]
    lines += ["", "[split]", *(line(key, value) for key, value in card.split.model_dump().items())]
    lines += ["", "[expected.images]", *(line(key, value) for key, value in counts.items())]
    lines += ["", "[[sources]]", line("type", "folder"), line("names", [folder])]
    return "\n".join(lines) + "\n"
