"""Submissions: records of an edition as a folder that a pull request adds.

A submission is `submission.json`, which names the edition and the checksums of other files, and an archive
per method, of the form of a baseline's (`bench.records.archive`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field

from bench.commands.results.folder import open_named_or_latest
from bench.commands.sharing.questions import Questions, questions_of
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.text import counted, name_fault, printable
from bench.records.baselines import packed
from bench.records.record import Record
from bench.spec.cell import Cell
from bench.spec.matrix.editions import PROTOCOL
from bench.spec.toml import Frozen

MANIFEST, MARK = "submission.json", "reproduced.json"
ARCHIVE = r"^[A-Za-z0-9][\w.-]*\.zip$"


class Manifest(Frozen):
    """Manifest of a submission."""

    format: Literal[1] = 1
    edition: str = Field(max_length=200)
    by: str = Field(min_length=1, max_length=100, description="who submits")
    protocol: int
    questions: str = Field(max_length=64)
    dataset: str = Field(max_length=64)
    methods: dict[str, int] = Field(description="records by method")
    files: dict[Annotated[str, Field(pattern=ARCHIVE)], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = (
        Field(min_length=1, max_length=1000, description="SHA-256 by name")
    )


def variant(cell: Cell) -> str:
    """Method with its hyperparameters, whose records belong together."""
    return cell.method + "".join(f" {name}={value}" for name, value in sorted(cell.overrides.items()))


def coverage(records: Iterable[Record], questions: Questions) -> dict[str, int]:
    """Number of questions that each method's records leave open."""
    answered: dict[str, set[str]] = defaultdict(set)
    for record in records:
        answered[variant(record.request.cell)].add(record.key)
    return {name: len(questions.keys) - len(keys) for name, keys in answered.items()}


def submit(name: str, by: str, results: str | None, out: str | None) -> Path:
    """Pack the records of an edition; returns the folder.

    Methods that some cell of is missing are left out, and said; so is what the edition does not ask.

    Raises:
        UserError: no such edition, no whole method, or the folder exists or cannot be written.
    """
    questions = questions_of(name)
    if fault := name_fault(by):
        raise UserError(f"--by '{printable(by)}' cannot name a folder: {fault}")
    store = open_named_or_latest(results)
    faults: Counter[str] = Counter()
    records = []
    for record in store.records():
        fault = questions.fault(record)
        faults[fault or ""] += bool(fault)
        if fault is None:
            records.append(record)
    for fault, count in faults.items():
        if fault:
            click.echo(printable(f"left out: {counted(count, 'record')}, each {fault}"), err=True)
    lacking = coverage(records, questions)
    for method, missing in sorted(lacking.items()):
        if missing:
            click.echo(
                printable(f"left out: {method}, which lacks {missing} of {len(questions.keys)} cells"),
                err=True,
            )
    whole = [record for record in records if not lacking[variant(record.request.cell)]]
    if not whole:
        raise UserError(
            f"no method has all {len(questions.keys)} cells of {name} in '{store.root}': run the suite first"
        )
    return _write(Path(out or f"submissions/{name}/{by}"), questions, by, packed(store, whole), whole)


def _write(
    folder: Path, questions: Questions, by: str, archives: dict[str, bytes], records: list[Record]
) -> Path:
    methods = Counter(record.request.cell.method for record in records)
    manifest = Manifest(
        edition=questions.name,
        by=by,
        protocol=PROTOCOL,
        questions=questions.edition.questions,
        dataset=questions.edition.dataset,
        methods=dict(sorted(methods.items())),
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(archives.items())},
    )
    if folder.exists():
        raise UserError(f"'{folder}' exists: name another folder with --out DIR, or remove it")
    try:
        for name, content in archives.items():
            write_atomically(folder / name, content)
        write_atomically(folder / MANIFEST, json.dumps(manifest.model_dump(), indent=1).encode())
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror or error}") from None
    return folder
