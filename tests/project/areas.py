"""Table of the same methods in five areas, from committed records: `python -m tests.project.areas`.

Means over three seeds, with half of their 95 % interval; in brackets the same labels without a source.
`docs/modalities.md` holds what this prints.
"""

from __future__ import annotations

import math

import pandas as pd

from bench.commands.python.results import Results
from bench.report.render.markdown import pipes
from bench.spec.matrix.suite import load_suite
from tests.support.checkout import ROOT

AREAS = ("vision", "language", "speech", "finance", "biology")
BASELINE = "full-finetune"
QUESTIONS = {0: "no labels of the target", 5: "5 of each class"}


def boards() -> dict[str, pd.DataFrame]:
    """Leaderboards by area, of those whose records are committed."""
    folders = {area: ROOT / "results" / "baselines" / f"area-{area}" for area in AREAS}
    there = {area: folder for area, folder in folders.items() if folder.is_dir()}
    return {area: Results(folder, BASELINE, ()).leaderboard() for area, folder in there.items()}


def value(board: pd.DataFrame, method: str, kind: str, shots: int) -> str:
    """Mean and half of its interval, which nothing that never varies has; a dash where there is no answer."""
    rows = board[(board["method"] == method) & (board["kind"] == kind) & (board["shots"] == str(shots))]
    if rows.empty or rows["accuracy"].isna().all():
        return "–"
    (row,) = rows.itertuples()
    half = (row.accuracy_high - row.accuracy_low) / 2
    return f"{row.accuracy:.1f}" if math.isnan(half) else f"{row.accuracy:.1f} ± {half:.1f}"


def tables() -> str:
    """Markdown, a table for each number of labels."""
    found, parts = boards(), []
    for shots, title in QUESTIONS.items():
        rows = []
        for method in load_suite("area-vision").methods:
            row = [method]
            for board in found.values():
                alone = f" ({value(board, method, 'pretrained', shots)})" if shots else ""
                row.append(value(board, method, "cross-domain", shots) + alone)
            rows.append(row)
        parts.append(pipes({title: False, **dict.fromkeys(found, True)}, rows))
    return "\n".join(parts)


if __name__ == "__main__":
    print(tables())
