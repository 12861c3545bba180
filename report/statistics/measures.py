"""Measures beside accuracy, from stored predictions: balanced scores, NLL, calibration, single classes.

They are not computed when a frame is loaded: `measured` adds columns to the rows that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.predictions import ImagePredictions, ScoredPredictions
from bench.report.statistics.summary import shared

BINS = 15
"""Equal-width bins of confidence for the calibration error, as in Guo et al. 2017."""


def class_accuracy(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class's images classified right: (classes,), NaN for classes without an image."""
    images = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.asarray(right / images)


def class_mean_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the classes that have test images of the share classified right (balanced accuracy)."""
    return float(np.nanmean(class_accuracy(labels, predicted, int(labels.max()) + 1)))


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that have test images: 2 TP / (2 TP + FP + FN), so 0 where TP is 0.

    A class without test images has no recall and is no part of the mean; images wrongly given to it count
    against their own class.
    """
    present = np.unique(labels)
    right = np.array([np.sum((labels == c) & (predicted == c)) for c in present])
    sizes = np.array([np.sum(labels == c) + np.sum(predicted == c) for c in present])
    return float((2 * right / sizes).mean())


def negative_log_likelihood(images: ImagePredictions) -> float:
    """Mean over images in nats; NaN where an image has no usable logits, infinite where one rules it out."""
    return float(images.nll.mean())


def calibration_error(images: ImagePredictions, correct: np.ndarray) -> float:
    """Expected calibration error of the predicted class: Σ (nᵇ / n) |accuracy - confidence| over `BINS` bins.

    Naeini et al. 2015; Guo et al. 2017, equation 5. Bins are (0, 1/B], …, (1 - 1/B, 1]. With few images it is
    biased upwards. NaN where an image has no usable logits.
    """
    confidence = images.confidence.astype(float)
    if np.isnan(confidence).any():
        return float("nan")
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(place, weights=correct - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class Measure:
    """Score of one cell under a rule, and how it is read."""

    name: str
    unit: str
    lower_is_better: bool
    of: Callable[[ScoredPredictions, str], float]


def _predicted(cell: ScoredPredictions, rule: str) -> tuple[np.ndarray, np.ndarray]:
    return cell.labels, cell.per_image[rule].predicted


MEASURES = (
    Measure("class-mean accuracy", "%", False, lambda c, r: 100 * class_mean_accuracy(*_predicted(c, r))),
    Measure("macro-F1", "%", False, lambda c, r: 100 * macro_f1(*_predicted(c, r))),
    Measure("NLL", "nats", True, lambda c, r: negative_log_likelihood(c.per_image[r])),
    Measure("ECE", "%", True, lambda c, r: 100 * calibration_error(c.per_image[r], c.correct[r])),
)


def measured(cells: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Scored cells with a column for each of `MEASURES`, by its name."""
    columns = {
        measure.name: [measure.of(cell, rule) for cell in cells["predictions"]] for measure in MEASURES
    }
    return cells.assign(**{name: np.array(values, dtype=float) for name, values in columns.items()})


def by_method(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Mean of each measure over the cells that all methods share: methods × names of `MEASURES`.

    NaN where a cell of the method has none: leaving that cell out would flatter.
    """
    names = [measure.name for measure in MEASURES]
    cells = measured(shared(rows, rule), rule)
    return cells.groupby("method")[names].agg(lambda column: column.mean(skipna=False))


def by_class(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Accuracy in percent by class (rows) and method (columns) over all test images of the shared cells.

    A column `images` comes first: how many different (question, image) there are of a class, 0 for a class
    absent from the test split, whose accuracies are NaN. Worst classes first, by their mean over methods.
    """
    cells = shared(rows, rule)
    # Many cells ask about the same classes: count over all images of a method at once, not cell by cell.
    by_method: dict[tuple[tuple[str, ...], str], list[ScoredPredictions]] = {}
    by_question: dict[tuple[tuple[str, ...], str], ScoredPredictions] = {}
    for method, question, names, cell in zip(
        cells["method"], cells["question"], cells["class_names"], cells["predictions"], strict=True
    ):
        by_method.setdefault((tuple(names), method), []).append(cell)
        by_question.setdefault((tuple(names), question), cell)
    if not by_method:
        return pd.DataFrame({"images": pd.Series(dtype=int)})
    right = []
    for (names, method), group in by_method.items():
        labels = np.concatenate([cell.labels for cell in group])
        correct = labels[np.concatenate([cell.correct[rule] for cell in group])]
        counts = {"correct": correct, "images": labels}
        sizes = {name: np.bincount(values, minlength=len(names)) for name, values in counts.items()}
        right.append(pd.DataFrame({"class": names, "method": method, **sizes}))
    seen = [
        pd.DataFrame({"class": names, "images": np.bincount(cell.labels, minlength=len(names))})
        for (names, _), cell in by_question.items()
    ]
    sums = pd.concat(right).groupby(["class", "method"]).sum()
    table = (100.0 * sums["correct"] / sums["images"]).unstack("method")
    images = pd.concat(seen).groupby("class")["images"].sum()
    order = table.mean(axis=1).sort_values(kind="stable").index
    return pd.concat([images, table], axis=1).loc[order]
