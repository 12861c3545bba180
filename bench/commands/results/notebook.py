"""Records for notebooks: one tidy pandas frame."""

from __future__ import annotations

import os

import pandas as pd

from bench.records.baselines import open_results
from bench.report.scores.frame import OBJECTS, load_frame


def load_results(path: str) -> pd.DataFrame:
    """Load the records of a results folder; see `bench.load_results`."""
    return load_frame(open_results(os.path.expanduser(path)), per_image=False).drop(columns=list(OBJECTS))
