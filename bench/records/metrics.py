"""Metrics of predictions as credits: a number for each test item, whose mean is the metric.

So accuracy, balanced accuracy and AUC have the same tables, intervals and comparisons: what resamples groups
of items takes means of credits. For accuracy they are 0 and 1. For the others they are what an item adds to
first order (its influence), by which resampled means vary as the metric itself does: of AUC these are the
structural components of DeLong et al. 1988 (https://doi.org/10.2307/2531595), summed by group as Obuchowski
1997 does (https://doi.org/10.2307/2533958).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def accuracy(logits: np.ndarray, labels: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Credit 1 where the largest logit is the class's, bool (items,)."""
    return correct


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Credits whose mean is the mean over classes of their accuracies, float32 (items,)."""
    counts = np.bincount(labels)
    there = np.flatnonzero(counts)
    by_class = np.bincount(labels, weights=correct) / np.maximum(counts, 1)
    value = by_class[there].mean()
    weights = len(labels) / (len(there) * counts[labels])
    return np.asarray(value + weights * (correct - by_class[labels]), dtype=np.float32)


def auc(logits: np.ndarray, labels: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Credits whose mean is the area under the ROC curve of each class against the others, float32 (items,).

    Mean over the classes that some items are of, and others not; ties count half. NaN where there are none.
    """
    odds = _log_odds(np.where(np.isfinite(logits).any(1, keepdims=True), logits, 0).astype(np.float64))
    found = [
        _auc(odds[:, label], labels == label)
        for label in np.unique(labels)
        if 0 < np.count_nonzero(labels == label) < len(labels)
    ]
    if not found:
        return np.full(len(labels), np.nan, dtype=np.float32)
    return np.mean(found, axis=0).astype(np.float32)


def _log_odds(logits: np.ndarray) -> np.ndarray:
    """Logarithms of p / (1 - p), float32, of logits (items, classes): as p orders them, without its rounding.

    Of a network that is sure p itself is 1, and items that differ by far would be ties.
    """
    scores = np.nan_to_num(logits - logits.max(1, keepdims=True), nan=0.0)
    first = scores.argmax(1)[:, None]
    rest = scores.copy()
    np.put_along_axis(rest, first, -np.inf, 1)
    second = rest.max(1, keepdims=True)
    others = second + np.log(np.exp(rest - second).sum(1, keepdims=True))
    logs = scores - np.logaddexp(0, others)
    # All but the likeliest class have one half at most, of which 1 - p keeps its digits.
    odds = logs - np.log1p(-np.exp(np.minimum(logs, np.log(0.5))))
    np.put_along_axis(odds, first, -others, 1)
    with np.errstate(over="ignore"):
        return odds.astype(np.float32)


def _auc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Credits of one class: shares of others that its items are above, and of its items above the others."""
    from scipy.stats import rankdata  # slow to import

    count, positives = len(scores), int(np.count_nonzero(positive))
    below = rankdata(scores)
    shares = np.empty(count)
    for mine in (positive, ~positive):
        inside = rankdata(scores[mine])
        shares[mine] = (below[mine] - inside) / (count - np.count_nonzero(mine))
    shares[~positive] = 1 - shares[~positive]
    value = shares[positive].mean()
    weights = np.where(positive, count / positives, count / (count - positives))
    return np.asarray(value + weights * (shares - value))


CREDITS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": accuracy,
    "balanced-accuracy": balanced_accuracy,
    "auc": auc,
}
"""Credits of items by metric, of logits (items, classes), labels (items,) and which are right (items,)."""


def with_rejection(logits: np.ndarray, classes: int) -> np.ndarray:
    """Logits (N, `classes` + 1) whose last one is that of the unknown class.

    Those of a method that has one itself stay as they are. Of others (N, `classes`) an item is rejected
    where the entropy of its prediction is above half of the largest possible, log(`classes`) / 2, a
    threshold that needs no target label: Saito et al. 2020, https://arxiv.org/abs/2002.07953, section 3.3.
    The logit is the largest one of the others, plus what the entropy is above the threshold.
    """
    if logits.shape[1] > classes:
        return logits
    scores = logits.astype(np.float64)
    highest = scores.max(axis=1, keepdims=True)
    p = np.exp(scores - highest)
    p /= p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(axis=1, keepdims=True)
    rejected = highest + entropy - math.log(classes) / 2
    return np.concatenate([scores, rejected], axis=1).astype(np.float32)
