"""Which test images a cell classified right, derived from its stored logits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bench.records.record import Predictions, Record
from bench.records.selection import HEADLINE, RULES
from bench.records.store import Store

PART = "target-test"
KNOWN = frozenset(rule.name for rule in RULES)


class Unusable(Exception):
    """Stored predictions that cannot be scored; the message says why."""


@dataclass(frozen=True)
class Judgement:
    """What one look says of each test image, small enough to be kept for thousands of cells.

    named: int16 (images,), the class of the largest logit; -1 where there is none (see `classified`).
    confidence: float32 (images,), the softmax probability of that class; NaN where there is none.
    surprise: float32 (images,), negative log-likelihood of the true class in nats; NaN likewise.
    """

    named: np.ndarray
    confidence: np.ndarray
    surprise: np.ndarray


@dataclass(frozen=True)
class Hits:
    """The target-test images of one cell.

    correct: by selection rule, bool (images,).
    groups: int (images,), related images share a number.
    undecided: images whose logits (under any rule) name no class; they count as wrong.
    labels: int (images,), index into the target's classes.
    judgements: by selection rule; rules that select the same look share one.
    """

    correct: Mapping[str, np.ndarray]
    groups: np.ndarray
    undecided: int = 0
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int16))
    judgements: Mapping[str, Judgement] = field(default_factory=dict)

    def accuracy(self, rule: str) -> float:
        """Percent of images classified right under `rule`; NaN where the rule selects no look."""
        correct = self.correct.get(rule)
        return float("nan") if correct is None else 100.0 * (int(np.count_nonzero(correct)) / len(correct))


def classified(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images the largest logit names rightly, and which have no usable largest logit.

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


def judged(logits: np.ndarray, labels: np.ndarray, undecided: np.ndarray) -> Judgement:
    """Named class, confidence and surprise of each image. Arguments as in `classified`; undecided: bool."""
    scores = logits.astype(np.float32)  # a copy
    scores[undecided] = np.nan
    named = np.where(undecided, -1, logits.argmax(axis=1)).astype(np.int16)
    highest, true = scores.max(axis=1), scores[np.arange(len(labels)), labels]
    # Nothing overflows: the highest is finite where there is one. (scipy's `logsumexp` is ten times slower.)
    total = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return Judgement(named, np.exp(highest - total), total - true)


def stored_predictions(store: Store, record: Record) -> Predictions:
    """What is stored beside a done record.

    Raises:
        Unusable: nothing is, or it is damaged.
    """
    if not record.evaluations:
        raise Unusable("the record says done, but holds no look")
    try:
        predictions = store.predictions(record)
    except FileNotFoundError:
        raise Unusable("the predictions file is missing") from None
    except OSError as error:
        raise Unusable(str(error)) from None
    if not predictions:
        raise Unusable("the record says done, but has no predictions")
    return predictions


def stored_hits(
    record: Record, predictions: Predictions, judge: bool = True, rules: Collection[str] = KNOWN
) -> Hits:
    """What a done record's predictions say, under each of some rules and its headline; see `score`.

    Raises:
        Unusable: they are not enough.
    """
    selected = {name: look for name, look in record.selected.items() if name in rules}
    headline = record.request.cell.headline
    if headline in KNOWN and headline in record.selected:
        selected[HEADLINE] = record.selected[headline]
    hits = score(predictions, selected, judge)
    if HEADLINE not in hits.correct:
        raise Unusable(f"no predictions are stored for the look that rule '{headline}' selects")
    return hits


def score(predictions: Predictions, selected: Mapping[str, int], judge: bool = True) -> Hits:
    """Score the look that each rule selected.

    Rules whose look has no stored logits are left out. Without `judge` there are no `judgements`, which
    take most of the time.

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
    highest = labels.max()
    right: dict[int, np.ndarray] = {}
    judgement: dict[int, Judgement] = {}
    undecided = np.zeros(len(labels), dtype=bool)
    for look in dict.fromkeys(selected.values()):
        logits = predictions.get(f"look{look}/{PART}/logits")
        if logits is None:
            continue
        if logits.ndim != 2 or len(logits) != len(labels) or logits.shape[1] <= highest:
            raise Unusable(f"logits {logits.shape} do not belong to {len(labels)} labels")
        # As float32, of which processors find the largest many times as fast.
        logits = logits.astype(np.float32)
        right[look], lost = classified(logits, labels)
        if judge:
            judgement[look] = judged(logits, labels, lost)
        undecided |= lost
    correct = {rule: right[look] for rule, look in selected.items() if look in right}
    judgements = {rule: judgement[look] for rule, look in selected.items() if look in judgement}
    # Many cells share their test images, and what is said of these.
    labels, groups = (_once(array.dtype.str, array.tobytes()) for array in (labels, groups))
    return Hits(correct, groups, int(undecided.sum()), labels, judgements)


@lru_cache(maxsize=2**10)
def _once(kind: str, content: bytes) -> np.ndarray:
    """The same array each time, read-only: (images,)."""
    return np.frombuffer(content, kind)
