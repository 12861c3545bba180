"""Scores of stored predictions: the test images that a cell classified right, and with what confidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from bench.records.metrics import CREDITS, with_rejection
from bench.records.record import Predictions, Record
from bench.records.selection import HEADLINE, RULES
from bench.records.store import Store

PART = "target-test"
KNOWN = frozenset(rule.name for rule in RULES)


class Unusable(Exception):
    """Stored predictions that cannot be scored; the message says why."""


@dataclass(frozen=True)
class ImagePredictions:
    """Predicted class, confidence and NLL of each test image at one evaluation.

    Small enough to be kept for thousands of cells.

    predicted: int16 (images,), the class of the largest logit; -1 where there is none (see `classified`).
    confidence: float32 (images,), the softmax probability of that class; NaN where there is none.
    nll: float32 (images,), negative log-likelihood of the true class in nats; NaN likewise.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    nll: np.ndarray


@dataclass(frozen=True)
class ScoredPredictions:
    """Scores of the target-test images of one cell.

    correct: by selection rule, bool (images,).
    groups: int (images,), related images share a number.
    undecided: images whose logits (under any rule) predict no class; they count as wrong.
    labels: int (images,), index into the target's classes.
    per_image: by selection rule; rules that select the same evaluation share one.
    credits: by selection rule, (images,), whose mean is the metric of the cell; `correct` for accuracy.
    """

    correct: Mapping[str, np.ndarray]
    groups: np.ndarray
    undecided: int = 0
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int16))
    per_image: Mapping[str, ImagePredictions] = field(default_factory=dict)
    credits: Mapping[str, np.ndarray] = field(default_factory=dict)

    def credit(self, rule: str) -> np.ndarray:
        """Credits of the images under a rule, bool or float32 (images,)."""
        return self.credits.get(rule, self.correct[rule])

    def accuracy(self, rule: str) -> float:
        """Metric in percent under `rule`, of images classified right; NaN where it selects no evaluation."""
        if rule not in self.correct:
            return float("nan")
        if rule in self.credits:
            return 100.0 * float(self.credits[rule].mean(dtype=np.float64))
        correct = self.correct[rule]
        return 100.0 * (int(np.count_nonzero(correct)) / len(correct))


def classified(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that the largest logit classifies right, and those that have no usable largest logit.

    An image is decided when its largest logit is finite: NaN and +inf (an overflow) decide nothing,
    while -inf is a legitimate way to rule a class out.

    Args:
        logits: float (images, classes); of equal logits the first class wins.
        labels: int (images,), index into the classes.

    Returns:
        correct and undecided, both bool (images,).
    """
    best = logits.argmax(axis=1)
    decided = np.isfinite(logits[np.arange(len(labels)), best])
    # argmax picks a NaN as the largest; such rows are masked by `decided`.
    return decided & (best == labels), ~decided


def image_predictions(logits: np.ndarray, labels: np.ndarray, undecided: np.ndarray) -> ImagePredictions:
    """Predicted class, confidence and NLL of each image, from arguments and results of `classified`."""
    scores = logits.astype(np.float32)  # a copy
    scores[undecided] = np.nan
    predicted = np.where(undecided, -1, logits.argmax(axis=1)).astype(np.int16)
    highest, true = scores.max(axis=1), scores[np.arange(len(labels)), labels]
    # Nothing overflows: the highest is finite where there is one. (scipy's `logsumexp` is ten times slower.)
    total = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return ImagePredictions(predicted, np.exp(highest - total), total - true)


def stream_order(predictions: Predictions) -> np.ndarray | None:
    """Places of the test images in the order of a stream, int (images,); None where they came in none.

    Raises:
        Unusable: it is no order of these images.
    """
    order, labels = predictions.get(f"{PART}/stream"), predictions[f"{PART}/labels"]
    if order is None:
        return None
    if order.shape != labels.shape or order.dtype.kind not in "iu":
        raise Unusable(f"a stream {order.shape} of {len(labels)} images")
    if not np.array_equal(np.sort(order), np.arange(len(labels))):
        raise Unusable("a stream that is no order of the test images")
    return order


def stored_predictions(store: Store, record: Record) -> Predictions:
    """Predictions that are stored beside a done record.

    Raises:
        Unusable: nothing is, or it is damaged.
    """
    if not record.evaluations:
        raise Unusable("the record says done, but holds no evaluation")
    try:
        predictions = store.predictions(record)
    except FileNotFoundError:
        raise Unusable("the predictions file is missing") from None
    except OSError as error:
        raise Unusable(str(error)) from None
    if not predictions:
        raise Unusable("the record says done, but has no predictions")
    return predictions


def scored_predictions(
    record: Record, predictions: Predictions, per_image: bool = True, rules: Collection[str] = KNOWN
) -> ScoredPredictions:
    """Score a done record's predictions under each of some rules and its headline; see `score`.

    Raises:
        Unusable: the predictions are not enough.
    """
    selected = {name: place for name, place in record.selected.items() if name in rules}
    headline = record.request.cell.headline
    if headline in KNOWN and headline in record.selected:
        selected[HEADLINE] = record.selected[headline]
    scenario = record.request.cell.scenario
    if scenario.unknown:
        predictions = opened(predictions, len(scenario.target_classes))
    scored = score(predictions, selected, per_image, record.request.cell.metric)
    if scored.labels.max() >= len(scenario.target_names):
        raise Unusable(f"labels beyond the {len(scenario.target_names)} classes that the cell asks about")
    if scenario.unknown:
        scored = replace(
            scored, per_image={name: _undoubted(each) for name, each in scored.per_image.items()}
        )
    if HEADLINE not in scored.correct:
        raise Unusable(f"no predictions are stored for the evaluation that rule '{headline}' selects")
    return scored


def opened(predictions: Predictions, classes: int) -> Predictions:
    """Predictions whose logits of test images have a class for what is unknown, the last."""
    return {
        name: with_rejection(values, classes)
        if name.endswith(f"/{PART}/logits") and values.ndim == 2
        else values
        for name, values in predictions.items()
    }


def _undoubted(images: ImagePredictions) -> ImagePredictions:
    """The same without confidences: a rule that rejects has none."""
    nothing = np.full_like(images.confidence, np.nan)
    return ImagePredictions(images.predicted, nothing, nothing)


def score(
    predictions: Predictions, selected: Mapping[str, int], per_image: bool = True, metric: str = "accuracy"
) -> ScoredPredictions:
    """Score the evaluation that each rule selected, by its place.

    Rules whose evaluation has no stored logits are left out. Without `per_image` there are no
    `ImagePredictions`, which take most of the time.

    Raises:
        Unusable: no labels, no images, or arrays whose shapes do not belong together.
    """
    try:
        labels, groups = predictions[f"{PART}/labels"], predictions[f"{PART}/groups"]
    except KeyError as error:
        raise Unusable(f"predictions lack {error}") from None
    if labels.ndim != 1 or labels.shape != groups.shape:
        raise Unusable(f"labels {labels.shape} and groups {groups.shape} do not belong together")
    if not len(labels):
        raise Unusable("no test images")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise Unusable("labels that are no classes")
    highest = labels.max()
    right: dict[int, np.ndarray] = {}
    images: dict[int, ImagePredictions] = {}
    credits: dict[int, np.ndarray] = {}
    undecided = np.zeros(len(labels), dtype=bool)
    for place in dict.fromkeys(selected.values()):
        logits = predictions.get(f"look{place}/{PART}/logits")
        if logits is None:
            continue
        if logits.ndim != 2 or len(logits) != len(labels) or logits.shape[1] <= highest:
            raise Unusable(f"logits {logits.shape} do not belong to {len(labels)} labels")
        # As float32, of which processors find the largest many times as fast.
        logits = logits.astype(np.float32)
        right[place], lost = classified(logits, labels)
        if metric != "accuracy":
            credits[place] = CREDITS[metric](logits, labels, right[place])
        if per_image:
            images[place] = image_predictions(logits, labels, lost)
        undecided |= lost
    correct = {rule: right[place] for rule, place in selected.items() if place in right}
    by_rule = {rule: images[place] for rule, place in selected.items() if place in images}
    # Many cells share their test images.
    labels, groups = (_once(array.dtype.str, array.tobytes()) for array in (labels, groups))
    credit = {rule: credits[place] for rule, place in selected.items() if place in credits}
    return ScoredPredictions(correct, groups, int(undecided.sum()), labels, by_rule, credit)


@lru_cache(maxsize=2**10)
def _once(kind: str, content: bytes) -> np.ndarray:
    """Array of these bytes, one object for all cells that have them, read-only: (images,)."""
    return np.frombuffer(content, kind)
