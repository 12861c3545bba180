"""Feasibility of a plan: what its images cannot give is told once and before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import click
import numpy as np

from bench.commands.experiments.run_plan import RunPlan
from bench.core.errors import TooFewImages, UserError
from bench.core.text import counted, printable
from bench.data.dataset import Dataset, open_again
from bench.data.episodes import draw_episodes
from bench.data.splits import TRAIN, subset
from bench.spec.cell import Cell, Scenario


def check_images(plan: RunPlan, cells: Sequence[Cell]) -> None:
    """Print a line for each domain and number of shots that the images cannot give.

    Their cells will be skipped; each says so in its record.

    Raises:
        UserError: nothing of the plan is left.
    """
    found = shortages(plan, cells)
    if found and sum(found.values()) == len(plan.cells):
        raise UserError(f"no cell can be run: {'; '.join(found)}: ask for fewer --shots or other classes")
    for line, count in found.items():
        click.echo(printable(f"skipped: {line} ({counted(count, 'cell')})"), err=True)


def shortages(plan: RunPlan, cells: Sequence[Cell]) -> dict[str, int]:
    """What the images cannot give of what cells ask for, a line each, and of how many cells."""
    scenarios: dict[str, list[Scenario]] = defaultdict(list)
    for cell in cells:
        if cell.scenario.shots not in (0, "all"):
            scenarios[cell.scenario.model_dump_json(exclude={"source", "source_classes", "kind"})].append(
                cell.scenario
            )
    found: dict[str, int] = defaultdict(int)
    if scenarios:
        dataset = open_again(plan.card, next(iter(plan.digests.values())).dataset)
        for same in scenarios.values():
            if fault := _shortage(dataset, same[0]):
                found[fault] += len(same)
    return found


def _shortage(dataset: Dataset, scenario: Scenario) -> str | None:
    """Say what the images of a scenario's target are too few for; None where they are enough."""
    target, classes, shots = scenario.target, scenario.target_classes, int(scenario.shots)
    dataset.domain(target)  # raises where this copy lacks it
    if scenario.episodes:
        try:
            next(draw_episodes(dataset, scenario, 1))
        except TooFewImages as error:
            return str(error)
        return None
    counts = np.bincount(subset(dataset, target, classes, TRAIN).labels, minlength=len(classes))
    least = int(counts.argmin())
    if counts[least] >= shots:
        return None
    return (
        f"{counted(shots, 'shot')} of {dataset.card.name}/{target}: its smallest class '{classes[least]}' "
        f"has {counted(int(counts[least]), 'training image')}"
    )
