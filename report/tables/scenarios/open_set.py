"""Scores of cells whose target has classes that the source lacks: known ones, unknown ones, and both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.predictions import ScoredPredictions
from bench.report.statistics.summary import shared
from bench.spec.scenarios import KINDS


@dataclass(frozen=True)
class OpenScores:
    """Scores of one method, percent, means over `cells`.

    os: mean accuracy of the known classes and the unknown one.
    os_star: of the known ones alone (Panareda Busto & Gall 2017).
    unk: of the unknown one, that is the share of its items that are rejected.
    hos: harmonic mean of `os_star` and `unk` in each cell (Bucci et al. 2020,
        https://arxiv.org/abs/2007.12360, equation 8).
    """

    method: str
    os: float
    os_star: float
    unk: float
    hos: float
    cells: int


def open_scores(rows: pd.DataFrame, rule: str = HEADLINE) -> list[OpenScores]:
    """Scores of methods over the cells of one kind that all share, best first; none of another kind."""
    if not any(KINDS[kind].takes == "unknown" for kind in rows["kind"].unique()):
        return []
    found = []
    for method, mine in shared(rows, rule).groupby("method"):
        cells = zip(mine["predictions"], mine["classes"], strict=True)
        scores = np.array([cell_scores(predictions, int(classes), rule) for predictions, classes in cells])
        os, os_star, unk, hos = scores.mean(axis=0).tolist()
        found.append(OpenScores(str(method), os, os_star, unk, hos, len(mine)))
    return sorted(found, key=lambda row: (-row.hos, row.method))


def cell_scores(cell: ScoredPredictions, classes: int, rule: str) -> tuple[float, float, float, float]:
    """OS, OS*, UNK and HOS of a cell with so many known classes, percent; of classes that have images."""
    images = np.bincount(cell.labels, minlength=classes + 1)
    right = np.bincount(cell.labels[cell.correct[rule]], minlength=classes + 1)
    with np.errstate(invalid="ignore"):
        share = 100 * right / images
    known, unknown = float(np.nanmean(share[:classes])), float(share[classes])
    both = known + unknown
    return float(np.nanmean(share)), known, unknown, 2 * known * unknown / both if both else 0.0
