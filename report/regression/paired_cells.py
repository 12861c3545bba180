"""Cells of a results folder as comparisons use them: answers, seconds, and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.processes.garbage import paused_gc
from bench.records.record import BUSY, Record
from bench.records.selection import HEADLINE
from bench.records.store import Store
from bench.report.scores.frame import plain
from bench.report.scores.predictions import Unusable, scored_predictions, stored_predictions
from bench.report.scores.words import Words
from bench.spec.cell import Cell, Setting

RIGHT = "|i1"
"""Type of credits that are 0 and 1."""

UNREADABLE = "unreadable: "
"""How the reason begins why a cell has no answers, where it has some that cannot be read."""


class Side(NamedTuple):
    """Cell of one side: what is compared of its record, in a form that goes between processes fast."""

    key: str
    title: str
    method: str
    """Name with the hyperparameters that were set: each has a history of its own."""
    suite: str
    setting: Setting
    dataset: str
    """Digest of its images."""
    card: str | None
    """Digest of its dataset's card; None in old records, as are libraries and weights."""
    libraries: str | None
    weights: str | None
    created: str
    revision: str | None
    machine: str | None
    unit: float | None
    """Seconds of the calibration."""
    unit_error: float
    """Its relative standard error."""
    trained: dict[str, float]
    """Seconds by phase of the training that this cell did itself, and did not take from another one.

    None of a cell that waited for a processor for much of its time: what else was slow then, nobody knows.
    """
    why: str
    """Why there are no answers."""
    metric: str = "accuracy"
    """Metric that the cell is judged by."""
    modality: str = "image"
    """Kind of its items."""
    answers: bytes = b""
    """Credit of each test image; empty where nobody can say."""
    form: str = RIGHT
    """Type of the credits, as NumPy writes it."""
    images: bytes = b""
    """Group of each test image, int64: related ones share a number."""

    @property
    def credits(self) -> np.ndarray:
        """Credits (images,), whose mean is the metric: of accuracy int8, 1 where an image is right."""
        return np.frombuffer(self.answers, self.form)

    @property
    def groups(self) -> np.ndarray:
        """Int64 (images,)."""
        return np.frombuffer(self.images, np.int64)

    @property
    def accuracy(self) -> float:
        """Percent, of the metric."""
        return 100.0 * float(self.credits.mean(dtype=np.float64))

    def answered(self, credits: np.ndarray, groups: np.ndarray) -> Side:
        """Cell with other credits, bool or float (images,), and the groups of these images, int."""
        form = credits.dtype.str if credits.dtype.kind == "f" else RIGHT
        answers, images = credits.astype(form).tobytes(), groups.astype(np.int64).tobytes()
        return self._replace(answers=answers, images=images, form=form)


def sides(store: Store) -> dict[str, Side]:
    """Cells of a store by key, without damaged ones, as if they were not there; see `Store.unreadable`."""
    found: dict[str, Side] = {}
    with paused_gc():
        for part in store.map_chunks(store.keys(), _sides):
            found |= part
    for side in found.values():
        if side.why.startswith(UNREADABLE):
            store.unreadable[store.path(side.key)] = side.why.removeprefix(UNREADABLE)
    return found


def _sides(store: Store, keys: Sequence[str]) -> dict[str, Side]:
    # What is the same in many cells is there once, and goes to another process once.
    once: dict[Any, Any] = {}
    found = {}
    for key in keys:
        if record := store.read(key):
            side = _side(store, record)
            found[key] = Side._make(
                once.setdefault(value, value) if type(value) in ONCE else value for value in side
            )
    return found


ONCE = (str, bytes, Setting)


def _side(store: Store, record: Record) -> Side:
    cell, outcome, measured = record.request.cell, record.outcome, record.cost
    predictions, why = None, f"{outcome.status}: {outcome.reason}"
    if outcome.status == "done":
        try:
            predictions = scored_predictions(
                record, stored_predictions(store, record), per_image=False, rules=()
            )
            why = ""
        except Unusable as error:
            why = f"{UNREADABLE}{plain(store, str(error))}"
    side = Side(
        key=record.key,
        title=cell.title,
        method=_method(cell),
        suite=record.request.suite,
        setting=record.request.setting,
        dataset=record.digests.dataset,
        card=record.digests.card,
        libraries=record.digests.libraries,
        weights=dict(record.digests.weights).get(cell.backbone),
        created=record.created,
        revision=record.environment.git_revision,
        machine=record.environment.machine,
        unit=measured.calibration_seconds,
        unit_error=measured.calibration_error,
        trained={
            name: stage.seconds
            for name, stage in sorted(measured.stages.items())
            if stage.seconds and not stage.shared_seconds
        }
        if measured.waited_share <= BUSY
        else {},
        why=why,
        metric=cell.metric,
        modality=cell.modality,
    )
    if predictions is None:
        return side
    credits = predictions.credits.get(HEADLINE, predictions.correct[HEADLINE])
    if np.isnan(credits).any():
        words = Words.of_cell(cell)
        return side._replace(why=f"its test {words.items} say nothing of {words.metric}")
    return side.answered(credits, predictions.groups)


def _method(cell: Cell) -> str:
    varied = ", ".join(f"{name}={value}" for name, value in sorted(cell.overrides.items()))
    return f"{cell.method} ({varied})" if varied else cell.method
