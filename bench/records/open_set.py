"""Rejection of what no known class fits, where a target has classes that the source lacks."""

from __future__ import annotations

import math

import numpy as np


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
