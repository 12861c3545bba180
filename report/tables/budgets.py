"""Budgets of every method, declared and spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.statistics.summary import scored
from bench.report.tables.formats import listed

TOLERANCE = 0.01
"""Share by which labelled images may miss the budget before a method is flagged."""

LABELLED = ("labelled", "fitted")
EXTRA = ("replayed", "unlabelled")


def declared(streams: Mapping[str, int], steps: Mapping[str, int], batch: int) -> int:
    """Labelled images that a cell declares it sees: in each of its stages steps × batch.

    A stage that only fits in closed form declares one pass over its labelled images, whatever their number.

    Args:
        streams: images by `stage/stream`, see `bench.records.record.Cost`.
        steps: of each stage's budget.
        batch: labelled images of a step.
    """
    total = 0
    for stage in dict.fromkeys(name.split("/")[0] for name in streams):
        trains = f"{stage}/labelled" in streams
        total += steps.get(stage, steps["source"]) * batch if trains else streams.get(f"{stage}/fitted", 0)
    return total


def labelled(streams: Mapping[str, int]) -> int:
    """Labelled images of a cell's stages, in batches or fitted in one go, without replayed ones."""
    return sum(images for name, images in streams.items() if name.split("/")[1] in LABELLED)


@dataclass(frozen=True)
class Budget:
    """Budget of one method in a block; images are means over its done cells, None where not recorded.

    deviation: of the cell that misses its declared budget most, as a share of it.
    stages: steps that each stage may take, in words; a stage that only fits is `closed form`.
    settings: hyperparameters that were set, or `defaults`, and after how many tuning trials.
    extra: images by stream that the budget does not count.
    """

    method: str
    cells: int
    stages: str
    batch: str
    evaluations: str
    settings: str
    declared: float | None
    labelled: float | None
    deviation: float | None
    extra: dict[str, float]
    seconds: float | None

    @property
    def off_budget(self) -> bool:
        """True where labelled images miss the declared budget by more than `TOLERANCE`."""
        return self.deviation is not None and abs(self.deviation) > TOLERANCE


def budgets(rows: pd.DataFrame) -> list[Budget]:
    """Budgets of a block, methods by name."""
    return [_budget(str(method), cells) for method, cells in scored(rows).groupby("method")]


NEEDED = (
    "streams",
    "steps",
    "target_steps",
    "batch_size",
    "overrides",
    "trials",
    "evaluations",
    "seconds_alone",
)


def _budget(method: str, cells: pd.DataFrame) -> Budget:
    # Rows are wide: only these columns are walked through.
    cells = cells[[*NEEDED]]
    recorded = cells[[bool(streams) for streams in cells["streams"]]]
    expected, seen, extra = [], [], []
    for row in recorded.itertuples():
        expected.append(declared(row.streams, _steps(row), int(row.batch_size)))
        seen.append(labelled(row.streams))
        extra.append({n: sum(v for k, v in row.streams.items() if k.endswith(f"/{n}")) for n in EXTRA})
    gaps = [(have - want) / want for have, want in zip(seen, expected, strict=True) if want]
    means = pd.DataFrame(extra, columns=list(EXTRA)).mean()
    return Budget(
        method=method,
        cells=len(cells),
        stages=listed(sorted({_stages(row) for row in recorded.itertuples()})),
        batch=_values(cells["batch_size"]),
        evaluations=_values(cells["evaluations"].map(len)),
        settings=listed(sorted({_settings(row) for row in cells.itertuples()})),
        declared=float(pd.Series(expected).mean()) if expected else None,
        labelled=float(pd.Series(seen).mean()) if seen else None,
        deviation=max(gaps, key=abs) if gaps else None,
        extra={str(name): float(value) for name, value in means.items() if value > 0},
        seconds=float(cells["seconds_alone"].median()) if cells["seconds_alone"].notna().any() else None,
    )


def _stages(row: Any) -> str:
    """Steps by stage, as `200 source, 100 target`."""
    steps = _steps(row)
    stages = []
    for stage in dict.fromkeys(name.split("/")[0] for name in row.streams):
        closed = f"{stage}/fitted" in row.streams and f"{stage}/labelled" not in row.streams
        stages.append(f"{stage} {'closed form' if closed else steps.get(stage, steps['source'])}")
    return ", ".join(stages)


def _steps(row: Any) -> dict[str, int]:
    target = int(row.target_steps)
    return {"source": int(row.steps), "target": target, "adapt": target}


def _settings(row: Any) -> str:
    """Hyperparameters, as `weight=0.3 (20 trials)`."""
    return (row.overrides or "defaults") + (f" ({row.trials:.0f} trials)" if row.trials else "")


def _values(column: pd.Series) -> str:
    return listed([f"{value:g}" for value in sorted(column.unique())])
