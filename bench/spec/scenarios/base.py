"""Base of the scenario kinds: domains and classes that take part, and the stages that are run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

from bench.spec.cell import Cell, Domains, Shots
from bench.spec.options import PartOptions
from bench.spec.stages import Items, Partition, StageSpec

Pair = tuple[Domains | None, str]
"""Source and target domain; no source where there is none."""

Sides = Sequence[Domains]
"""Source domains as a suite names them: one by one, or in pools."""


class ScenarioKind:
    """One kind of transfer. By default a labelled source in another domain, then the target's shots."""

    halves_classes = False
    """True if the target's classes are those that the source lacks, a half each."""
    takes_sources = True
    """True if source domains can be named apart from the targets."""
    source = "source: another domain"
    """Source of the kind, in words."""
    budget = "{steps} steps in the source stage and half as many in the target stage"
    """Length of its stages, in words: `{steps}` of the budget, `{target}` of the target stage."""
    takes: str | None = None
    """Key of a table that the kind alone knows, and needs: a number of classes."""
    unlabelled = ""
    """Why there are no labels of the target; empty where there may be shots."""
    keeps_source = True
    """True if source items may be trained on beside the target's, and again after the source stage."""
    keys: frozenset[str] = frozenset()
    """Keys of `PartOptions` that the kind knows."""
    pools_sources = False
    """True if a cell may have several sources, which are trained on together."""
    names_classes = False
    """True if the target's classes are known by their names alone."""
    shows_target = True
    """True if methods may see the target's images without labels, and rules and validators go by them."""

    def check(self, sources: Sides | Literal["all"], shots: Sequence[Shots], target_classes: str) -> None:
        """Check a `[[scenarios]]` table.

        Raises:
            ValueError: its keys do not go together.
        """
        if target_classes != "all":
            raise ValueError("says itself which classes are the target's")
        if self.halves_classes and not self.names_classes and 0 in shots:
            raise ValueError("has new classes, which 0 shots say nothing about")
        if self.unlabelled and {*shots} != {0}:
            raise ValueError(f"{self.unlabelled}: use shots = [0]")
        self.check_sources(sources)

    def check_parts(self, options: PartOptions) -> None:
        """Check the keys of a `[[scenarios]]` table that some kinds alone know.

        Raises:
            ValueError: the kind does not know one, or lacks one.
        """
        if other := sorted(options.said - self.keys):
            raise ValueError(f"knows no '{other[0]}': remove it")

    def check_sources(self, sources: Sides | Literal["all"]) -> None:
        """Check the sources of a table.

        Raises:
            ValueError: the kind cannot have them.
        """
        if any(not isinstance(source, str) for source in sources):
            raise ValueError("has one source in a cell: name several together under kind 'multi-source'")

    def pairs(self, sources: Sides, targets: Sequence[str]) -> list[Pair]:
        """Pairs of source and target domains, in the order of the sources.

        Raises:
            ValueError: a target is left without a source.
        """
        return [(source, target) for source, target in product(sources, targets) if source != target]

    def stages(self, cell: Cell) -> list[StageSpec]:
        """Stages of a cell, in order, with every stream that its scenario offers."""
        return [*source_stages(cell), *target_stages(cell)]


def source_stages(cell: Cell) -> list[StageSpec]:
    """Training on the labelled source, target items beside it unlabelled."""
    return [
        StageSpec(
            name="source",
            labelled=_source(cell),
            unlabelled=_unlabelled(cell),
            steps=cell.budget.steps,
            evaluate_on=("target-test", "target-validation", "source-validation"),
        )
    ]


def target_stages(cell: Cell) -> list[StageSpec]:
    """Training on the target's shots, or adaptation to its unlabelled items where there are none.

    Episodes repeat it with their own.
    """
    scenario = cell.scenario
    if scenario.shots == 0:
        return [
            StageSpec(
                name="adapt",
                labelled=None,
                unlabelled=_unlabelled(cell),
                replay=_source(cell),
                steps=cell.budget.target_steps,
                evaluate_on=("target-test", "target-validation", "source-validation"),
            )
        ]
    steps = scenario.episodes.steps if scenario.episodes else cell.budget.target_steps
    evaluate_on: tuple[Partition, ...] = ("target-test", "target-validation", "shots-validation")
    if scenario.same_classes:
        # The head that the source has trained, trained on.
        evaluate_on = (*evaluate_on, "source-validation")
    return [
        StageSpec(
            name="target",
            labelled=Items(domain=scenario.target, classes=scenario.target_classes, part="shots"),
            unlabelled=_unlabelled(cell),
            replay=_source(cell) if scenario.source else None,
            steps=steps,
            evaluate_on=evaluate_on,
        )
    ]


def _source(cell: Cell) -> Items:
    scenario = cell.scenario
    assert scenario.source is not None, "a source stage has a source"
    part = "all" if cell.unsplit else "train"
    return Items(domain=scenario.source, classes=scenario.source_classes, part=part)


def _unlabelled(cell: Cell) -> Items:
    """Target items without labels: by default other ones than methods are tested on."""
    scenario = cell.scenario
    part = "all" if cell.unsplit else "test" if cell.transductive else "train"
    return Items(
        domain=scenario.target,
        classes=scenario.target_classes,
        part=part,
        absent=scenario.absent,
        unknown=scenario.unknown,
    )
