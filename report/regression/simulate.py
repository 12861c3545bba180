"""Simulation of comparisons: a method against itself, and against a better self.

`python -m bench.report.regression.simulate --results DIR` takes the stored predictions of a results folder
whose cells have many seeds. Each simulated comparison draws two disjoint sets of runs of one method, and
new test images by drawing groups with replacement; a difference is put in by turning wrong images right
(by another metric than accuracy, by raising the credits of some).
The comparison is the report's own (`bench.report.statistics.pairwise`).

Without `--results` it says how often the report's interval of one mean covers the truth, by seeds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd

from bench.core.errors import UserError
from bench.records.selection import HEADLINE
from bench.records.store import Store
from bench.report.scores.frame import accuracy_column, load_frame, methods_only
from bench.report.scores.predictions import ScoredPredictions
from bench.report.statistics.pairwise import comparisons
from bench.report.statistics.summary import scored
from bench.report.statistics.uncertainty import run_error
from bench.report.tables.leaderboard import blocks

EFFECTS = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0)


def simulated(cells: pd.DataFrame, runs: int, effect: float, random: np.random.Generator) -> pd.DataFrame:
    """Rows of one comparison of a method with itself, as methods `left` and `right`.

    Args:
        cells: scored cells of one method; each question has the same seeds, at least twice `runs`.
        runs: seeds on each side.
        effect: points by which the right side is better in expectation.
    """
    seeds = random.permutation(cells["seed"].unique())[: 2 * runs]
    side = {seed: place for place, seed in enumerate(seeds)}
    rows = cells[cells["seed"].isin(side)].copy()
    rows["method"] = ["left" if side[seed] < runs else "right" for seed in rows["seed"]]
    rows["seed"] = [side[seed] % runs for seed in rows["seed"]]
    groups = np.unique(np.concatenate([predictions.groups for predictions in rows["predictions"]]))
    drawn = random.choice(groups, len(groups))
    # One number per image and question, the same in every run: a better method is better at certain images.
    luck = {question: random.random(int(groups.max()) + 1) for question in rows["question"].unique()}
    missing = 1.0 - rows[accuracy_column()].mean() / 100.0
    share = effect / 100.0 / missing
    predictions = []
    for row in rows.itertuples():
        better = luck[row.question] < share if row.method == "right" else None
        predictions.append(_redrawn(row.predictions, drawn, better))
    rows["predictions"] = predictions
    rows[accuracy_column()] = [h.accuracy(HEADLINE) for h in predictions]
    return rows


def _redrawn(
    predictions: ScoredPredictions, drawn: np.ndarray, better: np.ndarray | None
) -> ScoredPredictions:
    """Images of the drawn groups, each draw a group of its own; with those of `better` groups right.

    By another metric than accuracy the credits of these images rise by what the metric lacks, so that it
    rises as much in expectation: what would have been answered otherwise is not stored.
    """
    right = predictions.correct[HEADLINE]
    credits = predictions.credits.get(HEADLINE)
    if better is not None:
        helped = better[predictions.groups]
        right = right | helped
        if credits is not None:
            credits = credits + helped * (1.0 - credits.mean(dtype=np.float64))
    order = np.argsort(predictions.groups, kind="stable")
    first = np.searchsorted(predictions.groups[order], drawn, side="left")
    last = np.searchsorted(predictions.groups[order], drawn, side="right")
    places = [order[a:b] for a, b in zip(first, last, strict=True)]
    chosen = np.concatenate(places)
    return replace(
        predictions,
        correct={HEADLINE: right[chosen]},
        credits={} if credits is None else {HEADLINE: credits[chosen]},
        labels=predictions.labels[chosen],
        groups=np.repeat(np.arange(len(drawn)), [len(p) for p in places]),
        per_image={},
    )


def rejections(cells: pd.DataFrame, runs: int, effect: float, times: int, seed: int) -> int:
    """Number of `times` simulated comparisons whose sides are called different at the 5 % level."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(times):
        compared = comparisons(simulated(cells, runs, effect, random))
        found += sum(comparison.different for comparison in compared)
    return found


SEEDS = (2, 3, 4, 5)
SPREADS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations between runs, over that which test images give to all runs alike."""


def coverage(runs: int, spread: float, times: int, seed: int) -> float:
    """Share of `times` simulated means of so many runs whose 95 % interval covers the true mean.

    Args:
        runs: seeds.
        spread: see `SPREADS`.
    """
    random = np.random.default_rng(seed)
    resamples = random.normal(size=(200, 1))
    covered = 0
    for _ in range(times):
        means = random.normal() + random.normal(0.0, spread, runs)
        error = run_error(means, means + resamples)
        assert error is not None, "images alone make means vary"
        low, high = error.interval(float(means.mean()))
        covered += low <= 0.0 <= high
    return covered / times


def _print_coverage(times: int, seed: int) -> None:
    click.echo(f"seeds; coverage with runs that vary {', '.join(f'{s:g}' for s in SPREADS)} × as test images")
    for runs in SEEDS:
        shares = [f"{100 * coverage(runs, spread, times, seed):.0f} %" for spread in SPREADS]
        click.echo(f"{runs}: {', '.join(shares)}")


@click.command()
@click.option("--results", type=click.Path(path_type=Path), help="A results folder.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Seeds on each side.")
@click.option("--times", default=200, show_default=True, type=click.IntRange(1), help="Comparisons.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the simulation.")
def main(results: Path | None, runs: int, times: int, seed: int) -> None:
    """Print how often a method is called different from itself, and from a better self."""
    if results is None:
        _print_coverage(times, seed)
        return
    frame = methods_only(load_frame(Store(results)))
    shown = 0
    for block in blocks(frame):
        for method, mine in scored(block.of(frame)).groupby("method"):
            cells = mine[mine.groupby("question")["seed"].transform("nunique") == mine["seed"].nunique()]
            if cells["seed"].nunique() < 2 * runs:
                continue
            shown += 1
            one_question = cells[cells["question"] == cells["question"].min()]
            for part in [one_question] if len(one_question) == len(cells) else [one_question, cells]:
                images = sum(
                    len(predictions.groups) for predictions in part.drop_duplicates("question")["predictions"]
                )
                sizes = f"{part['question'].nunique()} questions, {images} test images"
                click.echo(f"{block.title}; {method}; {sizes}, {part['seed'].nunique()} seeds")
                for effect in EFFECTS:
                    count = rejections(part, runs, effect, times, seed)
                    click.echo(f"  {effect:g} points: called different in {count} of {times}")
    if not shown:
        raise UserError(f"no method in '{results}' has {2 * runs} seeds: run one with --seeds 0,1,…")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
