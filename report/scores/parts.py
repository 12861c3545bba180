"""Accuracies on the parts of a target, tasks or clients, and what they say of learning in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.text import printable
from bench.records.record import Predictions, Record
from bench.records.selection import stage_ends
from bench.report.scores.predictions import PART, Unusable, classified, score


@dataclass(frozen=True)
class PartAccuracies:
    """Test accuracy in percent by part, after each stage.

    names: of the parts: their domains, or how many classes they have.
    matrix: (stages, parts); the last row is that of the headline evaluation.
    before: (parts,) before any training; None: not known.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    before: np.ndarray | None = None

    @property
    def last(self) -> np.ndarray:
        """Accuracies at the end, (parts,)."""
        return np.asarray(self.matrix[-1])

    @property
    def average(self) -> float:
        """Average accuracy (ACC): mean of the last row (Lopez-Paz & Ranzato 2017, equation 2)."""
        return float(self.last.mean())

    @property
    def worst(self) -> float:
        """Accuracy on the part where it is lowest."""
        return float(self.last.min())

    @property
    def in_tasks(self) -> bool:
        """True if there is a stage for each of several parts."""
        stages, parts = self.matrix.shape
        return stages == parts > 1

    @property
    def backward_transfer(self) -> float:
        """Mean gain on earlier tasks since they were learnt, in points (BWT, their equation 3)."""
        if not self.in_tasks:
            return float("nan")
        return float((self.last - self.matrix.diagonal())[:-1].mean())

    @property
    def forward_transfer(self) -> float:
        """Mean gain on tasks before they are learnt, over the network before any (FWT, their equation 4)."""
        if not self.in_tasks or self.before is None:
            return float("nan")
        return float((self.matrix.diagonal(1) - self.before[1:]).mean())

    @property
    def forgetting(self) -> float:
        """Mean loss on earlier tasks from the best accuracy before the last stage, in points.

        Chaudhry et al. 2018, https://arxiv.org/abs/1801.10112, section 3.2. Negative where later tasks help.
        """
        if not self.in_tasks:
            return float("nan")
        return float((self.matrix[:-1].max(0) - self.last)[:-1].mean())


def in_tasks(parts: object) -> bool:
    """True of the accuracies of tasks one after the other, and of nothing else."""
    return isinstance(parts, PartAccuracies) and parts.in_tasks


def beside(parts: object) -> bool:
    """True of the accuracies of clients side by side, and of nothing else."""
    return isinstance(parts, PartAccuracies) and not parts.in_tasks


def part_accuracies(record: Record, predictions: Predictions) -> PartAccuracies | None:
    """Accuracies of a done record by part; None where its target has none.

    Raises:
        Unusable: the predictions are not enough.
    """
    scenario = record.request.cell.scenario
    if not scenario.parts:
        return None
    places = stage_ends(record.evaluations)
    places[-1] = record.selected.get(record.request.cell.headline, places[-1])
    found = score(predictions, {str(place): place for place in places}, per_image=False)
    numbers, count = predictions.get(f"{PART}/parts"), len(scenario.parts)
    if numbers is None or numbers.shape != found.groups.shape or numbers.dtype.kind not in "iu":
        raise Unusable("it is not stored which part each test image is of")
    if {*np.unique(numbers).tolist()} != {*range(count)} or len(found.correct) < len(set(places)):
        raise Unusable(f"predictions are not of {count} parts after {len(places)} stages")

    def by_part(correct: np.ndarray) -> np.ndarray:
        return 100 * np.bincount(numbers, correct) / np.bincount(numbers)

    before = predictions.get(f"before/{PART}/logits")
    if before is not None and (before.ndim != 2 or len(before) != len(numbers)):
        raise Unusable(f"logits {before.shape} before training do not belong to {len(numbers)} labels")
    return PartAccuracies(
        _names(record),
        np.stack([by_part(found.correct[str(place)]) for place in places]),
        None if before is None else by_part(classified(before.astype(np.float32), found.labels)[0]),
    )


def _names(record: Record) -> tuple[str, ...]:
    scenario = record.request.cell.scenario
    domains = [printable(part.domain) for part in scenario.parts]
    if len(set(domains)) == len(domains):
        return tuple(domains)
    return tuple(f"{len(part.classes)} classes ({place + 1})" for place, part in enumerate(scenario.parts))


def bytes_found(record: Record, name: str) -> list[int]:
    """Numbers of bytes that a method reports under a name, by stage."""
    found = [details.get(name) for details in record.details.values()]
    return [value for value in found if isinstance(value, int)]
