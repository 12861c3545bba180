"""`bench report`: the page of a results folder, with sample images out of the decode cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import click

from bench.commands.progress import status
from bench.commands.results.asked import Asked, asked
from bench.commands.results.folder import open_named_or_latest
from bench.commands.results.samples import samples
from bench.core.digest import combine
from bench.core.errors import UserError, did_you_mean
from bench.core.files import read_bounded, write_atomically
from bench.core.paths import published_results
from bench.core.text import printable
from bench.data.sources.base import normalised
from bench.method.registry import family, family_summary, method_modules
from bench.records.store import Store
from bench.report.render.fingerprint import NAME, code_digest, has_fingerprint
from bench.report.render.markdown import equal_table, markdown_table
from bench.report.scores.external import LARGEST, PublishedTable, few, read_published
from bench.report.scores.frame import BASELINE, load_frame
from bench.report.tables.formats import listed
from bench.report.tables.methods.families import MethodNotes
from bench.report.tables.published import SOURCE_ALONE as ALONE
from bench.report.tables.published import apart, domains_by_dataset, judged_otherwise, tables
from bench.spec.cell import Cell
from bench.spec.matrix.suite import Suite

T = TypeVar("T")

SOURCE_ALONE = "full-finetune"
"""Method that is the source stage and nothing else, the reference of adaptation at 0 shots."""


def build(
    results: str | None, out: str | None = None, suite: str | None = None, equal: str | None = None
) -> Path:
    """Build the page of a folder; without one, of the folder that was written to last.

    Where `out` ends in `.md`, the leaderboard as Markdown tables instead, at an `equal` budget if one is
    named. `suite` names the suite to go by (see `asked`).
    """
    if out and Path(out).suffix not in (".html", ".md"):
        # Whatever has that name would be replaced: a record, say, or a suite file.
        raise UserError(f"--out takes a file that ends in .html or .md, not '{out}'")
    store = open_named_or_latest(results)
    found = asked(store, suite)
    if out and Path(out).suffix == ".md":
        table = _markdown(store, found, equal)
        _try_to_write(Path(out), lambda: write_atomically(Path(out), table.encode()))
        return Path(out)
    return build_page(store, found.suite, found.cells, Path(out) if out else None)


START, END = "<!-- results:start -->", "<!-- results:end -->"
"""Marks around a document's generated tables."""


def equal_budgets(results: str | None, suite: str | None, equal: str) -> str:
    """Markdown tables of the methods of a results folder at equal steps, items or seconds."""
    store = open_named_or_latest(results)
    return _markdown(store, asked(store, suite), equal)


def update(results: str | None, document: str, suite: str | None = None, equal: str | None = None) -> Path:
    """Replace the text between a document's marks by the leaderboards of a results folder.

    Raises:
        UserError: the document cannot be read, or lacks the marks.
    """
    store = open_named_or_latest(results)
    path = Path(document)
    replace_tables(path, _markdown(store, asked(store, suite), equal))
    return path


def replace_tables(path: Path, tables: str) -> None:
    """Replace the text between a document's marks.

    Raises:
        UserError: the document cannot be read or written, or lacks the marks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{path} has no place for tables: write '{START}' and '{END}' where they belong")
    _try_to_write(path, lambda: write_atomically(path, f"{before}{start}\n{tables}{end}{after}".encode()))


def _markdown(store: Store, found: Asked, equal: str | None = None) -> str:
    frame = load_frame(store, found.cells, per_image=False, others=True)
    unreadable = frame[frame["status"] == "unreadable"]
    for key, reason in zip(unreadable["key"], unreadable["reason"], strict=True):
        click.echo(printable(f"warning: unreadable record {key}: {reason}"), err=True)
    if equal:
        return equal_table(frame, equal)
    return markdown_table(frame, found.suite.baseline if found.suite else BASELINE)


def build_page(
    store: Store,
    suite: Suite | None,
    cells: Sequence[Cell],
    out: Path | None = None,
    *,
    quietly: bool = False,
) -> Path:
    """Build the page of a folder: the suite's cells, if it is known, and what else the folder holds.

    A page that was made of the same records by the same code stays, even if images have been decoded since.
    A terminal shows meanwhile that it is being built, unless `quietly`.
    """
    page = out or store.root / NAME
    beside = check_published(store, cells)
    described = suite.model_dump_json() if suite else ""
    notes = method_notes()
    families = (f"{name} {family}" for name, family in notes.families.items())
    fingerprint = combine(
        *(code_digest(), store.state(), str(store.root), described, beside),
        *(*families, *(cell.key for cell in cells)),
    )
    if not out and has_fingerprint(page, fingerprint):
        return page
    # Late, since what draws takes longest to load of all, and an unchanged page needs none of it.
    from bench.report.render.page import build as build_html

    shown = samples(cells or [record.request.cell for record in store.records()])
    # Half a minute where many cells kept features, whose maps are computed.
    with nullcontext() if quietly else status("building the report"):
        return _try_to_write(
            page,
            lambda: build_html(
                store.root,
                out,
                suite,
                shown,
                expected=cells,
                notes=notes,
                fingerprint=fingerprint,
            ),
        )


def method_notes() -> MethodNotes:
    """What this checkout knows of methods: their families, by the folders of `methods/`; none is imported."""
    families = {name: family(name) for name in method_modules()}
    return MethodNotes(SOURCE_ALONE, families, {name: family_summary(name) for name in {*families.values()}})


def check_published(store: Store, cells: Sequence[Cell]) -> str:
    """Check the published results that belong to a folder, and return the digest of their tables.

    Says what of the table that `--published` names is not shown, or stands alone.

    Raises:
        UserError: that table cannot be read.
    """
    asked_for = cells or [record.request.cell for record in store.records()]
    scenarios = {cell.scenario for cell in asked_for}
    domains = domains_by_dataset((s.dataset, s.source_name, s.target) for s in scenarios)
    contents = []
    for path, wanted in tables(domains):
        if path == published_results():
            judged = judged_otherwise((cell.scenario.dataset, cell.metric) for cell in asked_for)
            _warn_of(path, *apart(read_published(path, wanted), judged))
        try:
            contents.append(read_bounded(path, LARGEST).decode("utf-8", "replace"))
        except OSError as error:
            contents.append(str(error))
    return combine(*contents)


def _warn_of(path: Path, table: PublishedTable, others: Sequence[str]) -> None:
    """Say what of a table is not shown, or stands alone since no method here has that name.

    Args:
        others: a line for each dataset that is judged otherwise.
    """
    plain = {normalised(name): name for name in method_modules()}
    alone = {each.method for each in table.results if normalised(each.method) not in {*plain, *ALONE}}
    strangers = [
        f"no method here is called '{name}' ({did_you_mean(name, plain.values())}): its results stand alone"
        for name in sorted(alone)
    ]
    elsewhere = [f"results of {listed(list(table.elsewhere))} are left out: other datasets were run"]
    for line in [*others, *few(table.faults), *few(strangers), *(elsewhere if table.elsewhere else [])]:
        click.echo(printable(f"warning: {path.name}, {line}"), err=True)


def _try_to_write(path: Path, write: Callable[[], T]) -> T:
    try:
        return write()
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from None
