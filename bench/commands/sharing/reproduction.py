"""Reproduction of a submission: some of its cells, drawn at random, are run again here."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.commands.experiments.execution import outcomes
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.sharing.check import Submission
from bench.commands.sharing.submission import MANIFEST, MARK
from bench.core.errors import UserError
from bench.core.files import read_bounded, write_atomically
from bench.core.modalities import MODALITIES
from bench.core.text import printable
from bench.data.catalog import load_card
from bench.records.store import Store
from bench.report.regression.compare import compare_sides
from bench.report.regression.paired_cells import sides
from bench.spec.matrix.editions import edition
from bench.spec.matrix.suite import load_suite

LEVEL = 0.01
"""p-value below which a cell counts as not reproduced: machines differ in images that are close calls."""


def reproduce(submission: Submission, count: int, execution: ExecutionOptions) -> bool:
    """Run `count` cells again; where all come out alike, the submission gets its mark. True if they do.

    Raises:
        UserError: the submission has faults, or no done record.
    """
    manifest, store = submission.manifest, submission.store
    done = [record for record in submission.records if record.done]
    if submission.faults or not done or manifest is None or store is None:
        raise UserError("a submission with faults, or without a done record, is not run again")
    # Nobody knows beforehand which.
    chosen = random.SystemRandom().sample(done, min(count, len(done)))
    suite = load_suite(edition(manifest.edition).suite)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cells = [record.request.cell for record in chosen]
        own = suite.model_copy(update={"methods": list(dict.fromkeys(cell.method for cell in cells))})
        plan = RunPlan(own, load_card(suite.dataset), cells, Store(folder), execution)
        plan.store.prepare()
        again = dict(zip((record.key for record in chosen), outcomes(plan, cells), strict=True))
        for key, ours in again.items():
            why = "no record" if ours is None else ours.outcome.reason
            found[key] = {"alike": False, "says": f"not done here: {why}"}
        found |= compared(store, plan.store, [key for key, ours in again.items() if ours and ours.done])
    for record in chosen:
        click.echo(printable(f"{record.key} ({record.request.cell.title}): {found[record.key]['says']}"))
    alike = all(each["alike"] for each in found.values())
    if alike:
        mark = {"manifest": _digest(submission.folder), "cells": found}
        write_atomically(submission.folder / MARK, json.dumps(mark, indent=1).encode())
    return alike


def compared(store: Store, here: Store, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Compare two runs of cells by what each is judged by, item by item, as `bench compare` does.

    Returns by key whether they are alike, and the words for it.
    """
    theirs, mine = ({key: side for key, side in sides(each).items() if key in keys} for each in (store, here))
    if not keys:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for change in compare_sides(theirs, mine).cells:
        if change.p is None:
            found[change.key] = {
                "alike": False,
                "says": f"cannot be compared: {change.why or change.verdict}",
            }
            continue
        a, b = theirs[change.key].credits, mine[change.key].credits
        apart = int((a != b).sum())
        scores = [change.base, change.new]
        items = MODALITIES[mine[change.key].modality].items
        says = f"{change.base:.1f} % submitted, {change.new:.1f} % here, {apart} of {len(b)} {items} apart"
        alike = change.p >= LEVEL
        found[change.key] = {"alike": alike, "score": scores, "apart": apart, "p": change.p, "says": says}
    return found


def is_marked(folder: Path) -> bool:
    """Return True if a submission was reproduced as it is now."""
    try:
        mark = json.loads(read_bounded(folder / MARK, 2**20))
        return bool(mark["manifest"] == _digest(folder))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _digest(folder: Path) -> str:
    """Digest of a submission's manifest, which holds those of its files."""
    return hashlib.sha256(read_bounded(folder / MANIFEST, 2**20)).hexdigest()
