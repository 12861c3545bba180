"""Series of comparable values of the history, and their change points.

Change points are those of PELT (Killick et al. 2012, https://arxiv.org/abs/1101.1438) with the absolute
distance from a segment's median as cost, which an odd revision does not make into a change. The penalty of a
change is 2 σ log n, with σ estimated from the differences of neighbours, which a change hardly touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

import numpy as np
import ruptures

from bench.report.history.measurement import Measurement
from bench.report.scores.words import metric_name

Quantity = Literal["accuracy", "seconds"]

PENALTY = 2.0
SIDES = 2
"""Revisions that a change has on either side, at least."""
ACCURACY_FLOOR, SECONDS_FLOOR = 0.5, 0.03
"""Standard deviation that is assumed at least: points of accuracy, logarithm of seconds."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class ChangePoint:
    """Change from the point at `place` on: medians before and after it, as far as the next change."""

    place: int
    before: float
    after: float


@dataclass(frozen=True)
class Series:
    """Values of one method, or benchmark, that can be compared, oldest first.

    metric: name of what accuracies are of, in words.
    unit: percent, or seconds at the machine's median speed over the series; where no calibration is known,
    seconds as they were.
    machine: the machine and setting of seconds; accuracies are of any machine.
    """

    suite: str
    name: str
    quantity: Quantity
    machine: str
    calibrated: bool
    revisions: tuple[str, ...]
    dates: tuple[datetime, ...]
    values: tuple[float, ...]
    changes: tuple[ChangePoint, ...]
    metric: str = "accuracy"


def series(measurements: Sequence[Measurement]) -> list[Series]:
    """Series of some measurements, by suite, quantity, machine and name; longer ones of a name first."""
    accuracies: dict[tuple[str, str, str, str], dict[str, list[tuple[Measurement, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    seconds: dict[tuple[str, ...], list[tuple[Measurement, float]]] = defaultdict(list)
    for each in measurements:
        for name, entry in each.entries.items():
            if entry.accuracy is not None:
                metric = metric_name(entry.metric or "accuracy")
                accuracies[each.suite, name, metric, entry.asked][each.revision].append(
                    (each, entry.accuracy)
                )
            if entry.seconds is not None and each.machine:
                unit = "calibrated" if each.calibration_seconds else ""
                seconds[each.suite, name, entry.timed, each.machine, each.setting, unit].append(
                    (each, entry.seconds)
                )
    found = [
        _series(suite, name, "accuracy", "", False, [*map(_mean, by_revision.values())], metric)
        for (suite, name, metric, _), by_revision in accuracies.items()
    ]
    for (suite, name, _, machine, setting, unit), points in seconds.items():
        where = f"machine {machine[:8]}" + (f", {setting}" if setting else "")
        found.append(_series(suite, name, "seconds", where, bool(unit), _normalised(points)))
    return sorted(found, key=lambda s: (s.suite, s.quantity, s.machine, s.name, -len(s.values), s.dates))


def _mean(points: Sequence[tuple[Measurement, float]]) -> tuple[Measurement, float]:
    """Mean of a revision that was measured on several machines."""
    return points[0][0], float(np.mean([value for _, value in points]))


def _normalised(points: Sequence[tuple[Measurement, float]]) -> list[tuple[Measurement, float]]:
    units = np.array([each.calibration_seconds or 1.0 for each, _ in points])
    return [
        (each, value / unit * float(np.median(units)))
        for (each, value), unit in zip(points, units, strict=True)
    ]


def _series(
    suite: str,
    name: str,
    quantity: Quantity,
    where: str,
    calibrated: bool,
    points: Sequence[tuple[Measurement, float]],
    metric: str = "accuracy",
) -> Series:
    ordered = sorted(points, key=lambda point: (point[0].date, point[0].revision))
    values = np.array([value for _, value in ordered])
    logs = quantity == "seconds"
    scale = np.log(values) if logs else values
    places = change_points(scale, SECONDS_FLOOR if logs else ACCURACY_FLOOR)
    ends = [0, *places, len(values)]
    medians = [float(np.median(values[a:b])) for a, b in pairwise(ends)]
    return Series(
        suite,
        name,
        quantity,
        where,
        calibrated,
        tuple(each.revision for each, _ in ordered),
        tuple(each.date for each, _ in ordered),
        tuple(float(value) for value in values),
        tuple(ChangePoint(place, *medians[i : i + 2]) for i, place in enumerate(places)),
        metric,
    )


def change_points(values: np.ndarray, floor: float) -> list[int]:
    """Places of the first values after changes of the median: (n,) -> increasing, in [2, n - 2].

    Args:
        values: at even distances.
        floor: standard deviation that is assumed at least.
    """
    if len(values) < 2 * SIDES:
        return []
    steps = np.abs(np.diff(values))
    sigma = max(floor, NORMAL * float(np.median(steps)) / np.sqrt(2.0))
    search = ruptures.Pelt(model="l1", min_size=SIDES, jump=1).fit(values.reshape(-1, 1))
    return [int(end) for end in search.predict(pen=PENALTY * sigma * np.log(len(values)))[:-1]]
