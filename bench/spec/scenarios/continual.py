"""Tasks in a row: domains (domain-incremental), or groups of classes of a domain (class-incremental).

van de Ven et al. 2022, "Three types of incremental learning". https://doi.org/10.1038/s42256-022-00568-3
One head is for the classes of all tasks, and no task is named when it is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from bench.core.text import counted
from bench.spec.cell import Cell, Part
from bench.spec.options import PartOptions
from bench.spec.scenarios.parts import Arrangement, PartsKind, two_or_more
from bench.spec.stages import Items, StageSpec


class Continual(PartsKind):
    """A stage for each task, after which the test images of all tasks are predicted."""

    keys = frozenset({"orders", "class_groups"})
    budget = "{steps} steps in each task"

    def check_parts(self, options: PartOptions) -> None:
        """Check that no order names a domain twice, and that orders are of domains."""
        super().check_parts(options)
        if not isinstance(options.orders, list):
            return
        if options.class_groups:
            raise ValueError("takes a number of 'orders' with 'class_groups': groups have no names")
        if not options.orders:
            raise ValueError("has no order: name one, or leave 'orders' out")
        for order in options.orders:
            if twice := next((name for name in order if order.count(name) > 1), None):
                raise ValueError(f"has an order that names '{twice}' twice: each domain comes once")
            two_or_more(order, "task")

    def arrangements(
        self, options: PartOptions, domains: Sequence[str], classes: tuple[str, ...]
    ) -> list[Arrangement]:
        """Orders of the tasks; class-incremental ones of each domain."""
        if options.class_groups:
            groups = [str(number + 1) for number in range(options.class_groups)]
            if len(classes) < len(groups):
                raise ValueError(f"has {len(groups)} groups of {counted(len(classes), 'class', 'classes')}")
            each = dict(zip(groups, _groups(classes, len(groups)), strict=True))
            return [
                Arrangement(
                    f"{domain}, classes {' → '.join(order)}",
                    tuple(Part(domain=domain, classes=each[group]) for group in order),
                )
                for domain in domains
                for order in _rotations(groups, options.orders)
            ]
        return [
            Arrangement(" → ".join(order), tuple(Part(domain=name, classes=classes) for name in order))
            for order in _rotations(domains, options.orders)
        ]

    def stages(self, cell: Cell) -> list[StageSpec]:
        """The tasks' in order, each of the source stage's steps."""
        parts = cell.scenario.parts
        return [
            StageSpec(
                name=f"task-{place + 1}",
                labelled=_items(parts[place : place + 1]),
                unlabelled=_items(parts[place : place + 1], "train"),
                replay=_items(parts[:place]) if place else None,
                head=cell.scenario.target_classes,
                steps=cell.budget.steps,
                evaluate_on=("target-test", "target-validation"),
            )
            for place in range(len(parts))
        ]


def _items(parts: Sequence[Part], part: Literal["shots", "train"] = "shots") -> Items:
    """Items of tasks as one."""
    domains = tuple(dict.fromkeys(task.domain for task in parts))
    classes = tuple(dict.fromkeys(name for task in parts for name in task.classes))
    return Items(domain=domains[0] if len(domains) == 1 else domains, classes=classes, part=part)


def _groups(classes: tuple[str, ...], count: int) -> list[tuple[str, ...]]:
    """Classes in groups of nearly one size, in order."""
    bounds = [len(classes) * place // count for place in range(count + 1)]
    return [classes[begin:end] for begin, end in pairwise(bounds)]


def _rotations(names: Sequence[str], orders: int | list[list[str]] | None) -> list[list[str]]:
    """Orders as they are named, or so many rotations, in which each task has another place."""
    if isinstance(orders, list):
        known = [[name for name in order if name in names] for order in orders]
        return [order for order in known if len(order) > 1]
    two_or_more(names, "task")
    count = orders or 1
    if count > len(names):
        raise ValueError(f"has {len(names)} rotations of {len(names)} tasks, not {count}: name the 'orders'")
    return [[*names[place:], *names[:place]] for place in range(count)]
