"""Records as runs: what experiment trackers keep of one cell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.core.text import moment
from bench.records.record import Evaluation
from bench.records.selection import RULES
from bench.report.scores.frame import CELL, accuracy_column
from bench.spec.cell import content_hash

Value = str | int | float | bool

SETTINGS = tuple(name for name in CELL if name not in ("pair", "supervision", "question", "goal", "protocol"))
MEASURED = (
    *(accuracy_column(rule.name) for rule in RULES),
    *("low", "high", "seconds_own", "seconds_alone", "seconds_waited", "items_seen", "items_per_second"),
    *("parameters", "parameters_trained", "peak_memory_mib"),
)
TAGS = (
    *("key", "suite", "device", "threads", "git_revision", "cpu", "accelerator", "python"),
    *("digest_method", "digest_engine", "digest_dataset", "again"),
)


@dataclass(frozen=True)
class Run:
    """Run of one done cell. Units are those of `bench.load_results`; what is not known is left out.

    started: seconds since 1970, when the record was made.
    evaluations: (stage, step, metrics), in order; accuracies in percent.
    """

    key: str
    name: str
    suite: str
    started: float
    params: dict[str, Value]
    metrics: dict[str, float]
    tags: dict[str, str]
    evaluations: tuple[tuple[str, int, dict[str, float]], ...]

    @property
    def answer(self) -> str:
        """Digest of all that is written of the run: another one where its cell has been run again."""
        return content_hash([self.name, self.started, self.params, self.metrics, self.tags, self.evaluations])


def runs(frame: pd.DataFrame) -> Iterator[Run]:
    """Runs of the done cells of a frame of `bench.report.scores.frame.load_frame`, ordered by key."""
    done = frame[frame["status"] == "done"].sort_values("key")
    for row in done.to_dict("records"):
        yield Run(
            key=row["key"],
            name=f"{row['method']} {row['pair']} {row['shots']}-shot seed {row['seed']:g}",
            suite=row["suite"],
            started=moment(row["created"]).timestamp(),
            params={name: _plain(row[name]) for name in SETTINGS if _known(row[name])},
            metrics={name: float(row[name]) for name in MEASURED if _finite(row[name])},
            tags={name: str(_plain(row[name])) for name in TAGS if _known(row[name])},
            evaluations=tuple((each.stage, each.step, _scalars(each)) for each in row["evaluations"]),
        )


def _scalars(evaluation: Evaluation) -> dict[str, float]:
    accuracy, loss = evaluation.accuracy.items(), evaluation.loss.items()
    named = {
        "train_loss": evaluation.train_loss,
        "diversity": evaluation.diversity,
        **{f"{name.replace('-', '_')}_accuracy": 100.0 * value for name, value in accuracy},
        **{f"{name.replace('-', '_')}_loss": value for name, value in loss},
        **{f"validator {name}": value for name, value in evaluation.validators.items()},
        **{f"discrepancy {name}": value for name, value in evaluation.discrepancy.items()},
    }
    return {name: float(value) for name, value in named.items() if value is not None and _finite(value)}


def _known(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def _finite(value: Any) -> bool:
    return _known(value) and math.isfinite(value)


def _plain(value: Any) -> Value:
    """Value as a Python type, and whole numbers whole again, which a column with gaps holds as floats."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (str, int, float, bool)) else str(value)
