"""Suite that a results folder answers: the one that was last run there, one that is named, or by its records.

A folder keeps the suite that was last run in it, options included, so that a page of it says which of the
suite's cells are missing, whoever builds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.commands.options import SuiteOptions
from bench.commands.suite_options import select_suite
from bench.core.errors import UserError
from bench.core.files import read_bounded, write_atomically
from bench.core.text import printable
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.sources.folder import Folder
from bench.records.store import Store
from bench.spec.cell import Cell, Control
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite, suite_names
from bench.spec.toml import Frozen

NAME = "suite.json"
LARGEST = 16 * 2**20
"""Size limit of the file, in bytes."""


class Kept(Frozen):
    """Suite and card of a results folder; the card does not say where the images are."""

    suite: Suite
    card: Card
    controls: dict[str, Control] = {}
    """Controls that were run beside the suite's methods, by method."""


@dataclass(frozen=True)
class Asked:
    """Suite of a results folder and its cells, none where it is not known."""

    suite: Suite | None = None
    cells: Sequence[Cell] = ()


def keep(store: Store, suite: Suite, card: Card, controls: Mapping[str, Control]) -> None:
    """Keep the suite that is run in a folder, as the options have changed it, and its methods' controls.

    Raises:
        UserError: the folder cannot be written.
    """
    path = store.root / NAME
    # A folder of own images is nobody else's business: results may be handed on.
    card = card.model_copy(update={"sources": [Folder(type="folder")]})
    kept = Kept(suite=suite, card=card, controls=dict(controls))
    content = json.dumps(kept.model_dump(mode="json"), indent=1).encode()
    try:
        if not path.exists() or read_bounded(path, LARGEST) != content:
            write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from None


def carry(store: Store, folder: Path) -> None:
    """Copy what a results folder keeps of its suite to one of the same records; none: remove it there.

    Raises:
        UserError: it cannot be read or written.
    """
    try:
        write_atomically(folder / NAME, read_bounded(store.root / NAME, LARGEST))
    except FileNotFoundError:
        (folder / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot copy '{store.root / NAME}': {error.strerror or error}") from None


def asked(store: Store, name: str | None = None) -> Asked:
    """Find the suite of a folder: the named one, the one kept there, or the packaged one of its records.

    Raises:
        UserError: there is no suite of that name, or the disk does not give the file.
    """
    if name:
        suite = select_suite(SuiteOptions(name))
        return Asked(suite, plan(suite, load_card(suite.dataset)))
    return _kept(store) or _packaged(store) or Asked()


def _kept(store: Store) -> Asked | None:
    path = store.root / NAME
    try:
        kept = Kept.model_validate(json.loads(read_bounded(path, LARGEST)))
        return Asked(kept.suite, plan(kept.suite, kept.card, kept.controls))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, RecursionError, UserError) as error:
        reason = (str(error).splitlines() or [""])[0]
        click.echo(printable(f"warning: '{path}' cannot be used: {reason}"), err=True)
        return None


def _packaged(store: Store) -> Asked | None:
    """Packaged suite that all records name, where one of them at least is a cell of it."""
    records = list(store.records())
    names = {record.request.suite for record in records}
    name = names.pop() if len(names) == 1 else ""
    if name not in suite_names():
        return None
    try:
        suite = select_suite(SuiteOptions(name))
        cells = plan(suite, load_card(suite.dataset))
    except UserError:
        return None
    known = {record.key for record in records}
    return Asked(suite, cells) if any(cell.key in known for cell in cells) else None
