"""Comparison of two sets of records, cell by cell: better, worse, new or gone.

Three families of tests share an error rate of 1 % for the whole comparison, each corrected after Holm (1979):
accuracy by method, accuracy by cell (both exact, paired by groups of test images; seeds are held fixed), and
speed by method (t-test on the log-ratios of its cells, with the spread of all methods' cells pooled, and with
the error of the calibrations that times are divided by). All are one-sided: only what got worse is an alarm,
and "improved" has the same error rate of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from bench.records.store import Store
from bench.report.regression.paired_cells import Side, sides
from bench.report.scores.words import Words, metric_name
from bench.report.statistics.randomisation import holm, sign_flip

BY_METHOD, BY_CELL, BY_SPEED = 0.008, 0.0005, 0.0015
"""False alarms a comparison by family, together 1 %. A cell's drop is in its method's too, so that methods,
whose tests see the most images, have the largest share; slow code is seen in few cells already."""
LEAST_SECONDS = 0.05
"""Phases shorter than this say nothing about speed."""
USUAL_SPREAD, USUAL_CELLS = 0.15, 10
"""Standard deviation of the log-ratio of a cell's seconds on a machine that others share, and how many cells
that counts for beside those at hand, which are often few (Smyth 2004, "Linear Models and Empirical Bayes
Methods", equation 3). `python -m bench.report.regression.false_alarms` shows what becomes of it."""
UNIT_ERROR = 0.1
"""Relative error of a calibration, at least: cells take longer than the moment that it is sure of."""

WHOLE = 5_000
"""Sum of a test's differences of credits that are not 0 and 1, in the whole numbers that an exact test takes:
more of them would tell little more, and take longer."""

NO_CHANGE = sign_flip(np.empty(0, int))
"""Test where no image changed."""

Verdict = Literal["same", "improved", "worse", "new", "gone", "changed"]


@dataclass(frozen=True)
class AccuracyChange:
    """Accuracy of one cell or method on both sides, in percent, and its difference; p is adjusted by Holm.

    It is by another metric where `metric` names one.
    """

    name: str
    verdict: Verdict
    key: str = ""
    base: float | None = None
    new: float | None = None
    p: float | None = None
    why: str = ""
    metric: str = "accuracy"
    """Name of what both sides were judged by, in words."""

    @property
    def points(self) -> float | None:
        """Points gained."""
        return None if self.base is None or self.new is None else self.new - self.base


@dataclass(frozen=True)
class SpeedChange:
    """Training time of a method, new over base, in units of the calibration; None: it cannot be said."""

    name: str
    verdict: Verdict
    ratio: float | None
    cells: int
    p: float | None = None
    why: str = ""


@dataclass(frozen=True)
class RunComparison:
    """Result of `bench compare`; methods and cells in the order of their names."""

    base: str
    new: str
    methods: tuple[AccuracyChange, ...]
    cells: tuple[AccuracyChange, ...]
    speed: tuple[SpeedChange, ...]
    caution: str = ""
    """What else than the code differs between the sides' cells, and what is not compared; mostly empty."""
    metric: str = "accuracy"
    """Name of what cells are compared by, in words: `score` where they are not all judged alike."""


class NothingInCommon(Exception):
    """No cell is on both sides."""


SidePairs = dict[str, tuple[Side, Side]]


def compare(base: Store, new: Store) -> RunComparison:
    """Compare two stores; see `compare_sides`."""
    return compare_sides(sides(base), sides(new), str(base.root), str(new.root))


def compare_sides(
    old: dict[str, Side], now: dict[str, Side], base: str = "base", new: str = "new"
) -> RunComparison:
    """Compare cells with the same key.

    Raises:
        NothingInCommon: no key is on both sides.
    """
    common: SidePairs = {key: (old[key], now[key]) for key in old.keys() & now.keys()}
    if not common:
        raise NothingInCommon
    odd = [change for key in sorted(old.keys() | now.keys()) if (change := _incomparable(key, old, now))]
    unlike = {change.key for change in odd}
    pairs = {key: pair for key, pair in sorted(common.items()) if key not in unlike and pair[0].answers}
    cells = _tested(((a.title, key, [(a, b)]) for key, (a, b) in pairs.items()), BY_CELL)
    by_method = _by_method(pairs).items()
    methods = _tested(((name, "", list(found.values())) for name, found in by_method), BY_METHOD)
    ordered = sorted([*odd, *cells], key=lambda change: change.name)
    speed = tuple(_speed(pairs))
    metric = _words(side for pair in common.values() for side in pair).metric
    return RunComparison(base, new, tuple(methods), tuple(ordered), speed, _caution(pairs), metric)


def _words(some: Iterable[Side]) -> Words:
    """Words for what these cells are of."""
    known = [*some]
    return Words.of({side.modality for side in known}, {side.metric for side in known})


def _caution(pairs: SidePairs) -> str:
    """Line that names what else than the code differs between the sides' cells: numbers change with it."""
    return "; ".join(filter(None, (_other_settings(pairs), _other_inputs(pairs), _other_metrics(pairs))))


def _other_metrics(pairs: SidePairs) -> str:
    """Line that names the metrics that cells are compared by, where there are several."""
    counts = Counter(metric_name(a.metric) for a, _ in pairs.values())
    judged = " and ".join(f"{count} by {metric}" for metric, count in sorted(counts.items()))
    return f"of {len(pairs)} cells, {judged} are compared" if len(counts) > 1 else ""


def _other_inputs(pairs: SidePairs) -> str:
    """Line that names cards, weights and libraries that differ."""
    found = []
    for name in ("card", "weights", "libraries"):
        both = [(getattr(a, name), getattr(b, name)) for a, b in pairs.values()]
        # Old records do not say.
        apart = [(before, after) for before, after in both if before and after and before != after]
        if apart:
            before, after = (set(side.split(", ")) for side in apart[0])
            named = f" ({', '.join(sorted(before - after))} and {', '.join(sorted(after - before))})"
            found.append(f"{name} in {len(apart)}{named if name == 'libraries' else ''}")
    if not found:
        return ""
    return (
        f"of {len(pairs)} cells, other {', other '.join(found)}: {_metric(pairs)} may differ for that alone"
    )


def _other_settings(pairs: SidePairs) -> str:
    """Line that names the settings in which the sides' cells differ."""
    apart = [(a.setting, b.setting) for a, b in pairs.values() if a.setting != b.setting]
    if not apart:
        return ""
    named = {
        f"{name}: {before} and {after}": None
        for a, b in apart
        for (name, before), (_, after) in zip(a, b, strict=True)
        if before != after
    }
    return (
        f"{len(apart)} of {len(pairs)} cells ran in another setting ({'; '.join(named)}): {_metric(pairs)} "
        "may differ for that alone, in small suites by many points"
    )


def _metric(pairs: SidePairs) -> str:
    return _words(a for a, _ in pairs.values()).metric


def _by_method(pairs: SidePairs) -> dict[str, SidePairs]:
    found: dict[str, SidePairs] = {}
    for key, pair in pairs.items():
        found.setdefault(pair[0].method, {})[key] = pair
    return dict(sorted(found.items()))


def _incomparable(key: str, old: dict[str, Side], now: dict[str, Side]) -> AccuracyChange | None:
    """Change that keeps a cell from being compared, if there is one."""
    a, b = old.get(key), now.get(key)
    if a is None or (not a.answers and b is not None and b.answers):
        return AccuracyChange(now[key].title, "new", key)
    if b is None:
        return AccuracyChange(a.title, "gone", key, why="no record") if a.answers else None
    if not a.answers or not b.answers:
        return AccuracyChange(a.title, "gone", key, why=b.why) if a.answers else None
    if a.dataset != b.dataset:
        return AccuracyChange(
            a.title, "changed", key, why=f"dataset fingerprint {a.dataset} is now {b.dataset}"
        )
    if a.images != b.images:
        return AccuracyChange(a.title, "changed", key, why=f"other test {_words((a, b)).items}")
    return None


def _tested(family: Iterable[tuple[str, str, list[tuple[Side, Side]]]], level: float) -> list[AccuracyChange]:
    """Test one family of accuracies, which together err at most at this level."""
    rows = []
    for name, key, pairs in family:
        # Only groups that differ count, which are few, and cells in which any does.
        apart = [(a, b) for a, b in pairs if a.answers != b.answers]
        test = NO_CHANGE
        if apart:
            gaps = np.concatenate([b.credits - a.credits for a, b in apart])
            # A method's accuracy is the mean over its cells, whatever their sizes: so is what is tested.
            sizes = np.concatenate([np.full(len(a.credits), len(a.credits)) for a, _ in apart])
            if len({len(a.credits) for a, _ in pairs}) > 1:
                gaps = gaps / sizes
            groups = np.concatenate([a.groups for a, _ in apart])
            changed = gaps != 0
            _, index = np.unique(groups[changed], return_inverse=True)
            sums = np.bincount(index, weights=gaps[changed])
            if gaps.dtype.kind == "f":
                sums *= WHOLE / np.abs(sums).sum()
            test = sign_flip(np.rint(sums).astype(int))
        before, after = (sum(pair[i].accuracy for pair in pairs) / len(pairs) for i in (0, 1))
        rows.append((name, key, before, after, test, _words(a for a, _ in pairs).metric))
    adjusted = holm([test.p for *_, test, _ in rows], [test.chance for *_, test, _ in rows])
    return [
        AccuracyChange(name, _verdict(after - before, p, level), key, before, after, p, metric=metric)
        for (name, key, before, after, _, metric), p in zip(rows, adjusted, strict=True)
    ]


def _verdict(gain: float, p: float, level: float) -> Verdict:
    if p > level or not gain:
        return "same"
    return "improved" if gain > 0 else "worse"


def _speed(pairs: SidePairs) -> list[SpeedChange]:
    """Test the family of speeds."""
    unit, unit_variance = _unit(pairs)
    ratios = {
        name: np.array([r for pair in found.values() if (r := _log_ratio(*pair, unit)) is not None])
        for name, found in _by_method(pairs).items()
    }
    timed = {name: values for name, values in ratios.items() if len(values)}
    freedom = USUAL_CELLS + sum(len(values) - 1 for values in timed.values())
    squares = USUAL_CELLS * USUAL_SPREAD**2
    squares += sum(float(((values - values.mean()) ** 2).sum()) for values in timed.values())
    spread = squares / freedom
    alone = [
        float(stats.t.sf(abs(v.mean()) / np.sqrt(spread / len(v) + unit_variance), freedom))
        for v in timed.values()
    ]
    adjusted = dict(zip(timed, holm(alone), strict=True))
    return [
        SpeedChange(
            name, _verdict(-v.mean(), p := adjusted[name], BY_SPEED), float(np.exp(v.mean())), len(v), p
        )
        if len(v)
        else SpeedChange(
            name, "same", None, 0, why="no phase was timed on the same machine and setting by both"
        )
        for name, v in ratios.items()
    ]


def _unit(pairs: SidePairs) -> tuple[float, float]:
    """Slowdown of the machine itself in the new run, and the variance of its logarithm.

    It is the ratio of median calibrations: those around single cells vary more than cells do.
    """
    both = [(a, b) for a, b in pairs.values() if a.unit and b.unit]
    if not both:
        return 1.0, 0.0
    old, new = zip(*both, strict=True)
    (a, old_variance), (b, new_variance) = _median_unit(old), _median_unit(new)
    return b / a, old_variance + new_variance


def _median_unit(run: Sequence[Side]) -> tuple[float, float]:
    """Median calibration of a run, and the variance of its logarithm."""
    # Short cells that follow each other share a calibration, which is one piece of evidence.
    different = {side.unit: side.unit_error for side in run if side.unit}
    within = np.mean([max(error, UNIT_ERROR) ** 2 for error in different.values()])
    between = np.log([*different]).var(ddof=1) * np.pi / 2 if len(different) > 1 else 0.0
    return float(np.median([side.unit for side in run])), float(max(within, between)) / len(different)


def _log_ratio(a: Side, b: Side, unit: float) -> float | None:
    """Log of new over base seconds in the phases that both trained themselves; None: not comparable."""
    same = a.machine and a.machine == b.machine
    if not same or a.setting != b.setting or not a.unit:
        return None
    phases = a.trained.keys() & b.trained.keys()
    seconds = [sum(side.trained[phase] for phase in phases) for side in (a, b)]
    return float(np.log(seconds[1] / seconds[0] / unit)) if min(seconds) >= LEAST_SECONDS else None
