"""`bench site`: merged results of several folders as a static site."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from bench.commands.discovery.show import Facts, dataset_facts, method_facts
from bench.commands.sharing.check import conflicts, read
from bench.commands.sharing.questions import cells_of, questions_of
from bench.commands.sharing.reproduction import is_marked
from bench.commands.sharing.submission import MANIFEST
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.data.catalog import card_names
from bench.method.registry import method_modules
from bench.records.baselines import open_results
from bench.records.record import Record
from bench.records.store import Store
from bench.report.scores.frame import BASELINE, load_together, methods_only
from bench.report.site.build import FROM, Described, Origin, SuiteResults
from bench.report.site.build import build as write
from bench.spec.matrix.editions import editions
from bench.spec.matrix.suite import load_suite, suite_names


@dataclass(frozen=True)
class Part:
    """Records of one suite in one of the folders."""

    origin: Origin
    store: Store
    records: list[Record]


def build(folders: Sequence[str], out: Path) -> None:
    """Write the site, and say of what.

    Raises:
        UserError: a folder is none, a submission has faults, or two folders contradict each other; nothing is
            written then.
    """
    parts: dict[str, list[Part]] = defaultdict(list)
    known = [open_results(name) for name in folders if not (Path(name) / MANIFEST).exists()]
    for name in folders:
        for suite, part in _parts(name, known):
            parts[suite].append(part)
    for suite, found in parts.items():
        _check(suite, found)
    suites = [_merged(name, found) for name, found in sorted(parts.items())]
    methods = sorted({str(method) for suite in suites for method in suite.frame["method"].dropna()})
    datasets = sorted({suite.dataset for suite in suites})
    described = [_described(name, method_facts, name in method_modules()) for name in methods]
    cards = [_described(name, dataset_facts, name in card_names()) for name in datasets]
    try:
        files = write(suites, described, cards, out)
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror or error}") from None
    size = sum(path.stat().st_size for path in files)
    click.echo(f"{out / 'index.html'}: {counted(len(files), 'file')}, {size / 1e6:.1f} MB")


def _parts(name: str, known: Sequence[Store]) -> Iterator[tuple[str, Part]]:
    """Records of a folder, by suite: the edition's name where they are all of one.

    A submission is checked, beside results that are `known`.
    """
    folder = Path(name)
    if (folder / MANIFEST).exists():
        submission = read(folder, known)
        if submission.faults or submission.manifest is None or submission.store is None:
            more = f" (and {len(submission.faults) - 1} more)" if len(submission.faults) > 1 else ""
            raise UserError(f"'{folder}' is refused: {submission.faults[0]}{more}")
        by = submission.manifest.by
        origin = Origin(f"{submission.manifest.edition} by {by}", by, is_marked(folder))
        yield submission.manifest.edition, Part(origin, submission.store, submission.records)
        return
    store = open_results(name)
    by_suite: dict[str, list[Record]] = defaultdict(list)
    for record in store.records():
        by_suite[record.request.suite].append(record)
    for path, reason in store.unreadable.items():
        click.echo(printable(f"warning: unreadable record {path}: {reason}"), err=True)
    for suite, records in by_suite.items():
        yield _edition_of(suite, records) or suite, Part(Origin(store.root.name), store, records)


def _edition_of(suite: str, records: Sequence[Record]) -> str | None:
    """Edition of a suite that all records are of; None where there is none."""
    for name, edition in editions().items():
        if edition.suite == suite and not any(map(questions_of(name).fault, records)):
            return name
    return None


def _check(suite: str, parts: Sequence[Part]) -> None:
    """Refuse parts that contradict each other."""
    for place, part in enumerate(parts):
        for other in parts[:place]:
            for line in conflicts(part.store, part.records, other.store):
                raise UserError(f"{suite}, '{part.store.root}': {line}: leave out one of them")


def _merged(name: str, parts: Sequence[Part]) -> SuiteResults:
    """Results of a suite, each cell once: of the first folder that has it done, if any has."""
    of_key: dict[str, tuple[bool, Part]] = {}
    for part in parts:
        for record in part.records:
            known = of_key.get(record.key)
            if known is None or (record.done and not known[0]):
                of_key[record.key] = record.done, part
    keys = {id(part): sorted(k for k, (_, owner) in of_key.items() if owner is part) for part in parts}
    plain = editions()[name].suite if name in editions() else name
    stored = [(part.store, keys[id(part)]) for part in parts]
    frame = load_together(stored, cells_of(plain), per_image=False)
    frame[FROM] = [of_key[key][1].origin.name for key in frame["key"]]
    suite = load_suite(plain) if plain in suite_names() else None
    return SuiteResults(
        name=name,
        about=suite.description if suite else "",
        dataset=str(frame["dataset"].dropna().mode().iloc[0]),
        baseline=suite.baseline if suite else BASELINE,
        edition=name in editions(),
        frame=methods_only(frame),
        origins=[part.origin for part in parts],
    )


def _described(name: str, facts: Callable[[str], Facts], known: bool) -> Described:
    """Facts of a method or dataset, as far as this installation can say them."""
    left_out = ("in suites", "run", "here")
    found: dict[str, str] = {}
    with suppress(UserError, ImportError):
        for what, text in facts(name) if known else ():
            if what not in left_out:
                found[what] = text
    return Described(name, found)
