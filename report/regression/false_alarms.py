"""False alarms and misses of `bench compare`: `python -m bench.report.regression.false_alarms RUN RUN ...`.

RUNs are results folders of the same suite, run again with nothing changed. Every ordered pair of them is
compared. Then comparisons are simulated: groups of test images are drawn with replacement, each group's two
answers (those of two evaluations of the cell, as two runs might give) fall to either side by a coin, and each
cell's measured times are those of two runs that are drawn at random for it.

Last, faults are planted: in the first run one method, each in turn, loses some points, right answers at
random turned wrong in each of its cells; and in the second run of every pair a method takes longer to train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from itertools import permutations

import numpy as np

from bench.records.selection import HEADLINE
from bench.records.store import Store
from bench.report.regression.compare import compare_sides
from bench.report.regression.gate import regressions
from bench.report.regression.paired_cells import Side, sides
from bench.report.scores.predictions import scored_predictions, stored_predictions
from bench.spec.matrix.suite import Gate

DROPS = (2, 3, 4, 5, 6, 8, 12)
"""Points of accuracy."""
DELAYS = (1.25, 1.5, 2.0, 3.0)
"""Times as long."""

STRICT = Gate(max_accuracy_drop=0, max_slowdown=0)
"""Lets nothing pass, so that what is counted is the tests' own error rate."""


def real(runs: list[dict[str, Side]], gate: Gate) -> list[list[str]]:
    """Regressions of every ordered pair of runs."""
    return [regressions(compare_sides(a, b), gate) for a, b in permutations(runs, 2)]


def simulated(
    runs: list[dict[str, Side]], others: Mapping[str, np.ndarray], times: int, gate: Gate, seed: int = 0
) -> list[list[str]]:
    """Regressions where nothing has changed; `others` are the first run's `other_answers`."""
    random = np.random.default_rng(seed)
    return [regressions(compare_sides(*_two(runs, others, random)), gate) for _ in range(times)]


def other_answers(store: Store, run: Mapping[str, Side]) -> dict[str, np.ndarray]:
    """Answers of another evaluation of each cell, bool (images,), or the same one where there is no other."""
    found = {}
    for key in (key for key, side in run.items() if side.answers):
        record = store.read(key)
        assert record is not None, "it has just been read"
        correct = scored_predictions(record, stored_predictions(store, record), per_image=False).correct
        headline = correct[HEADLINE]
        found[key] = next((seen for seen in correct.values() if seen is not headline), headline)
    return found


def _two(
    runs: list[dict[str, Side]], others: Mapping[str, np.ndarray], random: np.random.Generator
) -> tuple[dict[str, Side], dict[str, Side]]:
    done = {key: side for key, side in runs[0].items() if side.answers}
    numbers = np.unique(np.concatenate([side.groups for side in done.values()]))
    drawn = random.choice(numbers, len(numbers))
    coins = random.integers(0, 2, len(drawn)).astype(bool)
    old, now = {}, {}
    for key, side in done.items():
        rows = [np.flatnonzero(side.groups == number) for number in drawn]
        index = np.concatenate(rows)
        # A group that is drawn twice counts as two groups, which is what the bootstrap takes it for.
        names = np.repeat(np.arange(len(drawn)), [len(row) for row in rows])
        swap = np.repeat(coins, [len(row) for row in rows])
        one, two = side.credits[index], others[key][index]
        answers = np.where(swap, two, one), np.where(swap, one, two)
        timed = [runs[place][key] for place in random.choice(len(runs), 2)]
        old[key], now[key] = (
            seen.answered(answer, names) for seen, answer in zip(timed, answers, strict=True)
        )
    return old, now


def planted(run: dict[str, Side], points: float, times: int, seed: int = 0) -> list[bool]:
    """Detection of a method's drop of so many points, with its name, for `times` draws of each method."""
    random = np.random.default_rng(seed)
    detected = []
    for name in sorted({side.method for side in run.values() if side.answers}):
        for _ in range(times):
            worse = {
                key: _worse(side, points, random) if side.method == name else side
                for key, side in run.items()
            }
            lines = regressions(compare_sides(run, worse), Gate())
            detected.append(any(line.startswith(f"{name}: accuracy") for line in lines))
    return detected


def slowed(runs: list[dict[str, Side]], times: float) -> list[bool]:
    """Detection of a method that takes so many times as long, with its name, for all pairs and methods."""
    detected = []
    for base, new in [*permutations(runs, 2)] or [(runs[0], runs[0])]:
        for name in sorted({side.method for side in new.values() if side.answers}):
            slow = {
                key: side._replace(trained={phase: times * s for phase, s in side.trained.items()})
                if side.method == name
                else side
                for key, side in new.items()
            }
            found = compare_sides(base, slow)
            if any(pace.name == name and pace.ratio for pace in found.speed):
                detected.append(
                    any(line.startswith(f"{name}: training") for line in regressions(found, Gate()))
                )
    return detected


def _worse(side: Side, points: float, random: np.random.Generator) -> Side:
    """Cell that has lost so many points; at most all that it has."""
    if not side.answers:
        return side
    right = side.credits.copy()
    correct_places = np.flatnonzero(right)
    right[
        random.choice(
            correct_places, min(len(correct_places), round(points / 100 * len(right))), replace=False
        )
    ] = 0
    return side.answered(right, side.groups)


def main(arguments: list[str] | None = None) -> int:
    """Count and print; exit code 1 where more than 1 % of the simulated comparisons are false alarms."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report.regression.false_alarms", description=__doc__
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--simulate", type=int, default=500, metavar="N")
    parser.add_argument("--plant", type=int, default=20, metavar="N", help="faults for each method and size")
    options = parser.parse_args(arguments)
    runs = [sides(Store(run)) for run in options.runs]
    if not all(any(side.answers for side in run.values()) for run in runs):
        parser.error("a RUN holds no done cell")
    if judged := sorted({side.metric for run in runs for side in run.values()} - {"accuracy"}):
        parser.error(f"faults are planted in what is right or wrong: not in cells judged by {judged[0]}")
    others, pretended = other_answers(Store(options.runs[0]), runs[0]), 0
    for title, gate in (("as it is", Gate()), ("letting nothing pass", STRICT)):
        pairs, pretend = real(runs, gate), simulated(runs, others, options.simulate, gate)
        pretended = sum(map(bool, pretend))
        print(f"gate {title}: {sum(map(bool, pairs))} of {len(pairs)} pairs of runs, ", end="")
        print(f"{pretended} of {len(pretend)} simulated comparisons with a false alarm")
        for line in sorted({line for lines in pairs for line in lines})[:10]:
            print(f"  {line}")
    for points in DROPS if options.plant else ():
        detected = planted(runs[0], points, options.plant)
        share = f"{sum(detected)} of {len(detected)}"
        print(f"planted, one method loses {points} points: {share} caught and named")
    for times in DELAYS if options.plant else ():
        detected = slowed(runs, times)
        share = f"{sum(detected)} of {len(detected)}"
        print(f"planted, one method takes {times:g} times as long: {share} caught and named")
    return int(pretended > 0.01 * options.simulate)


if __name__ == "__main__":
    sys.exit(main())
