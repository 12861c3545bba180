"""Requirements of methods on a scenario, and the reasons why a cell is skipped."""

from __future__ import annotations

from bench.core.errors import CellSkipped
from bench.method.base import GradientMethod, Method
from bench.method.batch import Access
from bench.spec.cell import Cell, Scenario
from bench.spec.scenarios import KINDS


def check_capability(name: str, method: Method, scenario: Scenario, items: str = "images") -> None:
    """Raise `CellSkipped` when a method lacks what it needs, or is asked for what it may not use.

    Args:
        items: what the reason calls the items of the scenario's dataset.
    """
    kind = KINDS[scenario.kind]
    needed = method.needs | method.access & Access.TARGET_IMAGES
    lacking = needed & ~_offered(scenario)
    if lacking:
        what = {
            Access.SOURCE_LABELS: f"a labelled source, and kind '{scenario.kind}' has none",
            Access.SOURCE_REPLAY: f"a labelled source, and kind '{scenario.kind}' has none",
            Access.CLIENTS: f"several clients, and kind '{scenario.kind}' has none",
            Access.TASKS: f"several tasks in a row, and kind '{scenario.kind}' has none",
            Access.TARGET_IMAGES: f"{items} of the target, which kind '{scenario.kind}' shows nobody",
            Access.TARGET_LABELS: f"labelled target {items}, and {scenario.shots} shots have none",
            Access.UNKNOWN_CLASSES: f"target {items} of unknown classes, which this cell has none of",
            Access.CLASS_NAMES: f"classes known by their names alone, which kind '{scenario.kind}' lacks",
            Access.SOURCE_DOMAINS: "several sources together, and this cell has one",
        }
        raise CellSkipped(f"{name} needs {next(what[flag] for flag in lacking)}")
    if kind.names_classes and Access.CLASS_NAMES not in method.access:
        raise CellSkipped(f"{name} has no head for classes that are known by their names alone")
    at_once = not method.starts_from and Access.TARGET_IMAGES in method.access
    if not kind.keeps_source and (at_once or Access.SOURCE_REPLAY in method.access):
        raise CellSkipped(f"{name} sees source and target at once, which kind '{scenario.kind}' keeps apart")
    if method.streams() and not kind.shows_target:
        raise CellSkipped(f"{name} adapts to test {items}, which kind '{scenario.kind}' shows nobody before")
    if method.task_only and scenario.episodes and scenario.episodes.batch_norm == "inductive":
        raise CellSkipped(
            f"{name} learns from a task's unlabelled {items}, which inductive episodes do not give: "
            "batch_norm = 'transductive' does"
        )
    if scenario.shots == 0 and Access.SOURCE_LABELS not in method.access:
        raise CellSkipped(f"{name} makes no use of a labelled source, and 0 shots leave nothing else")
    if scenario.shots != 0 and Access.TARGET_LABELS not in method.access:
        raise CellSkipped(f"{name} makes no use of labelled target {items}")
    # Last, since it alone can be mended: what holds on every machine is the better reason.
    if lacks := method.unavailable():
        raise CellSkipped(f"{name} {lacks}")


def _offered(scenario: Scenario) -> Access:
    """Access that a scenario has to offer."""
    kind = KINDS[scenario.kind]
    offered = Access.TARGET_IMAGES if kind.shows_target else Access.NOTHING
    if scenario.federation:
        offered |= Access.CLIENTS
    elif scenario.parts:
        offered |= Access.TASKS | Access.SOURCE_REPLAY
    if scenario.source:
        offered |= Access.SOURCE_LABELS
    if scenario.source and kind.keeps_source:
        offered |= Access.SOURCE_REPLAY
    if scenario.unknown:
        offered |= Access.UNKNOWN_CLASSES
    if len(scenario.sources) > 1:
        offered |= Access.SOURCE_DOMAINS
    if kind.names_classes:
        offered |= Access.CLASS_NAMES
    if scenario.shots != 0:
        offered |= Access.TARGET_LABELS
    return offered


def check_per_sample_loss(cell: Cell, method: Method, devices: int) -> None:
    """Raise `CellSkipped` when several devices cannot share the batches of a cell."""
    if devices == 1 or not isinstance(method, GradientMethod):
        return
    if not method.per_sample_loss:
        raise CellSkipped(
            f"the loss of {cell.method} is not declared a mean over the items of a batch "
            f"(`per_sample_loss`), so {devices} devices cannot share it: run it with devices_per_cell = 1"
        )
    if cell.budget.batch_size < devices:
        raise CellSkipped(f"{devices} devices cannot share batches of {cell.budget.batch_size}")
