"""Scores of predictions on targets with classes that the source lacks: OS, OS*, UNK and HOS."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.report.scores.predictions import ScoredPredictions


class OpenScores(NamedTuple):
    """Scores of one cell, percent, of classes that have test items.

    hos: harmonic mean of `os_star` and `unk` (Bucci et al. 2020, https://arxiv.org/abs/2007.12360, equation
        8).
    os: mean accuracy of the known classes and the unknown one. os_star: of the known ones alone (Panareda
        Busto & Gall 2017).
    unk: of the unknown one, that is the share of its items that are rejected.
    """

    hos: float
    os_star: float
    unk: float
    os: float


def open_scores(cell: ScoredPredictions, classes: int, rule: str) -> OpenScores:
    """Score a cell with so many known classes under a selection rule."""
    images = np.bincount(cell.labels, minlength=classes + 1)
    right = np.bincount(cell.labels[cell.correct[rule]], minlength=classes + 1)
    with np.errstate(invalid="ignore"):
        share = 100 * right / images
    known, unknown = float(np.nanmean(share[:classes])), float(share[classes])
    both = known + unknown
    hos = 2 * known * unknown / both if both else 0.0
    return OpenScores(hos, known, unknown, float(np.nanmean(share)))
