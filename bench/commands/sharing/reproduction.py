"""Reproduction of a submission: some of its cells, drawn at random, are run again here."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.commands.experiments.execution import outcomes
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.sharing.check import Submission
from bench.commands.sharing.submission import MANIFEST, MARK
from bench.core.errors import UserError
from bench.core.files import read_bounded, write_atomically
from bench.core.text import printable
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.records.selection import HEADLINE
from bench.records.store import Store
from bench.report.scores.predictions import scored_predictions
from bench.report.scores.words import Words
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
        for theirs, ours in zip(chosen, outcomes(plan, cells), strict=True):
            found[theirs.key] = _compared(store, theirs, plan.store, ours)
            click.echo(printable(f"{theirs.key} ({theirs.request.cell.title}): {found[theirs.key]['says']}"))
    alike = all(each["alike"] for each in found.values())
    if alike:
        mark = {"manifest": _digest(submission.folder), "cells": found}
        write_atomically(submission.folder / MARK, json.dumps(mark, indent=1).encode())
    return alike


def _compared(store: Store, theirs: Record, here: Store, ours: Record | None) -> dict[str, Any]:
    """Compare two runs of a cell by the images that one side has right and the other has not."""
    if ours is None or not ours.done:
        reason = ours.outcome.reason if ours else "no record"
        return {"alike": False, "says": f"not done here: {reason}"}
    words = Words.of_cell(ours.request.cell)
    mine, other = (
        scored_predictions(record, place.predictions(record), per_image=False).correct[HEADLINE]
        for record, place in ((ours, here), (theirs, store))
    )
    if mine.shape != other.shape:
        return {"alike": False, "says": f"other test {words.items} here"}
    better, worse = int((mine & ~other).sum()), int((other & ~mine).sum())
    p = mcnemar(better, worse)
    accuracies = [100 * float(np.mean(side)) for side in (other, mine)]
    says = f"{accuracies[0]:.1f} % submitted, {accuracies[1]:.1f} % here, "
    says += f"{better + worse} of {len(mine)} {words.items} apart"
    return {"alike": p >= LEVEL, "accuracy": accuracies, "apart": better + worse, "p": p, "says": says}


def mcnemar(better: int, worse: int) -> float:
    """p-value of McNemar's exact test: as many images better on one side as on the other (McNemar 1947)."""
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


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
