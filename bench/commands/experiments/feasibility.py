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
from bench.data.splits import TEST, TRAIN, subset
from bench.spec.cell import Cell, Part, Scenario


def check_images(plan: RunPlan, cells: Sequence[Cell]) -> None:
    """Print a line for each domain and number of shots that the images cannot give.

    Their cells will be skipped; each says so in its record.

    Raises:
        UserError: nothing of the plan is left.
    """
    found = shortages(plan, cells)
    if found and sum(found.values()) == len(plan.cells):
        raise UserError(f"no cell can be run: {'; '.join(found)}: {_mend(cells)}")
    for line, count in found.items():
        click.echo(printable(f"skipped: {line} ({counted(count, 'cell')})"), err=True)


def _mend(cells: Sequence[Cell]) -> str:
    streams = any(cell.scenario.stream for cell in cells)
    return "ask for " + ("a smaller 'batch', " if streams else "") + "fewer --shots or other classes"


def shortages(plan: RunPlan, cells: Sequence[Cell]) -> dict[str, int]:
    """What the images cannot give of what cells ask for, a line each, and of how many cells."""
    scenarios: dict[str, list[Scenario]] = defaultdict(list)
    for cell in cells:
        scenario = cell.scenario
        if scenario.shots not in (0, "all") or scenario.stream:
            scenarios[scenario.model_dump_json(exclude={"source", "source_classes", "kind"})].append(scenario)
    found: dict[str, int] = defaultdict(int)
    if scenarios:
        dataset = open_again(plan.card, next(iter(plan.digests.values())).dataset)
        for same in scenarios.values():
            if fault := _shortage(dataset, same[0]):
                found[fault] += len(same)
    return found


def _shortage(dataset: Dataset, scenario: Scenario) -> str | None:
    """Say what the items of a scenario's target are too few for; None where they are enough."""
    kind = dataset.card.kind
    parts = scenario.parts or (Part(domain=scenario.target, classes=scenario.target_classes),)
    for part in parts:
        dataset.domain(part.domain)  # raises where this copy lacks it
    if scenario.episodes:
        try:
            next(draw_episodes(dataset, scenario, 1))
        except TooFewImages as error:
            return str(error)
        return None
    if scenario.stream:
        items = len(subset(dataset, scenario.target, scenario.target_classes, TEST))
        there = counted(items, f"test {kind.item}", f"test {kind.items}")
        if scenario.stream.batch > items:
            return (
                f"a stream of {scenario.stream.batch} {kind.items} at once: "
                f"{dataset.card.name}/{scenario.target} has {there}"
            )
    shots = scenario.shots
    if shots in (0, "all"):
        return None
    return next(filter(None, (_few_shots(dataset, part, int(shots)) for part in parts)), None)


def _few_shots(dataset: Dataset, part: Part, shots: int) -> str | None:
    """Say which class of a domain has fewer training items than shots."""
    counts = np.bincount(
        subset(dataset, part.domain, part.classes, TRAIN).labels, minlength=len(part.classes)
    )
    least = int(counts.argmin())
    if counts[least] >= shots:
        return None
    kind = dataset.card.kind
    there = counted(int(counts[least]), f"training {kind.item}", f"training {kind.items}")
    return (
        f"{counted(shots, 'shot')} of {dataset.card.name}/{part.domain}: its smallest class "
        f"'{part.classes[least]}' has {there}"
    )
