"""Recall of names: how often an image's name is among the few that match it best."""

from __future__ import annotations

import numpy as np

from bench.records.record import Predictions, Record

FIRST = 5
"""Names that are looked at."""


def recall(record: Record, predictions: Predictions) -> float:
    """Recall at `FIRST` in percent at the headline rule's evaluation; of equal logits, half are before.

    Items without a finite largest logit count as wrong, as they do everywhere.

    NaN where it has no logits.
    """
    place = record.selected.get(record.request.cell.headline)
    logits = predictions.get(f"look{place}/target-test/logits")
    if logits is None:
        return float("nan")
    labels = predictions["target-test/labels"].astype(int)
    own = logits[np.arange(len(labels)), labels][:, None]
    before = (logits > own).sum(1) + ((logits == own).sum(1) - 1) / 2
    decided = np.isfinite(logits.max(1))
    return 100.0 * float((decided & (before < FIRST)).mean())
