"""Verdict on submissions: their faults, their reproduction, and the merge of those without a fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.commands.experiments.run_plan import ExecutionOptions
from bench.commands.results.maintenance import merge
from bench.commands.sharing.check import Submission, conflicts, read
from bench.commands.sharing.reproduction import reproduce
from bench.core.text import counted, printable
from bench.records.baselines import open_results


def judge(
    folders: Sequence[Path], against: Sequence[str], rerun: int | None, into: str | None, device: str
) -> int:
    """Print what is wrong with submissions, run some cells again, and merge; 1 where something is wrong."""
    known = [open_results(name) for name in against]
    found = [read(folder, known) for folder in folders]
    faults = 0
    for place, submission in enumerate(found):
        lines = [*submission.faults, *_among(submission, found[:place])]
        faults += len(lines)
        for line in lines:
            click.echo(printable(f"{submission.folder}: {line}"), err=True)
        if not lines:
            click.echo(printable(_summary(submission)))
    if faults:
        click.echo(f"refused: {counted(faults, 'fault')}; nothing is merged", err=True)
        return 1
    execution = ExecutionOptions(device=device)
    if rerun and not all(reproduce(each, rerun, execution) for each in found):
        click.echo("refused: not reproduced; nothing is merged", err=True)
        return 1
    return merge(into, tuple(map(str, folders))) if into else 0


def _among(submission: Submission, before: Sequence[Submission]) -> list[str]:
    """Contradictions between a submission and those before it."""
    if submission.store is None:
        return []
    stores = [other.store for other in before if other.store is not None]
    return [line for other in stores for line in conflicts(submission.store, submission.records, other)]


def _summary(submission: Submission) -> str:
    manifest = submission.manifest
    assert manifest is not None
    records = f"{counted(len(submission.records), 'record')} of {', '.join(manifest.methods)}"
    return f"{submission.folder}: {manifest.edition} by {manifest.by}: {records}, no fault"
