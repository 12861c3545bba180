"""Run plan: the command line's options, resolved once into what every verb that runs cells needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import click

from bench.commands.progress import progress_bars
from bench.commands.suite_options import SuiteOptions, select_suite
from bench.core.errors import UserError
from bench.core.paths import RESULTS
from bench.core.text import printable
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.data.splits import untaught
from bench.engine.cell.digests import present_digests
from bench.executors.protocol import ExecutorOptions
from bench.method.registry import control_of, method_digest, method_file
from bench.networks.backbones.families import check_family
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell, Control
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite


@dataclass(frozen=True)
class ExecutionOptions:
    """Options that say where and how cells run."""

    device: str = "auto"
    workers: int | None = None
    """Cells at once; None: the suite's number."""
    timeout: float | None = None
    """Seconds after which a cell has failed."""
    share: bool = True
    """Whether cells share features and source stages, or each makes its own."""
    executor: str = "local"
    address: str | None = None
    """Address of a Ray cluster."""
    cells_per_device: int | None = None
    """Cells that share an accelerator; None: the suite's number."""
    keep_features: bool = False
    """Whether cells keep features, whatever the suite says."""

    def executor_options(self, suite: Suite) -> ExecutorOptions:
        """Configuration of the executor: the suite's table, overridden by these options."""
        options = {
            "workers": self.workers,
            "cells_per_device": self.cells_per_device,
            "keep_features": self.keep_features,
        }
        given = {name: value for name, value in options.items() if value}
        resources = suite.executor.model_copy(update=given)
        return ExecutorOptions(
            device=self.device, share=self.share, address=self.address, resources=resources
        )


@dataclass(frozen=True)
class RunPlan:
    """Resolved run: a suite, the card of its dataset, its cells, their results folder and execution."""

    suite: Suite
    card: Card
    cells: Sequence[Cell]
    store: Store
    execution: ExecutionOptions
    controls: Mapping[str, Control] = field(default_factory=dict)
    """Controls that are run beside the suite's methods, by method."""

    @classmethod
    def resolve(
        cls, options: SuiteOptions, results: str | None, execution: ExecutionOptions, suffix: str = ""
    ) -> RunPlan:
        """Resolve options; the folder is by default `results/<suite><suffix>`.

        Raises:
            UserError: an unknown name, a value of the wrong form, or a suite without cells.
        """
        suite = select_suite(options)
        card = load_card(suite.dataset)
        for name in suite.backbones:
            check_family(name, card.modality)
        store = Store(results or RESULTS / f"{suite.name}{suffix}")
        return cls(suite, card, plan(suite, card), store, execution)

    def with_suite(self, suite: Suite) -> RunPlan:
        """Replace the suite, and the cells by those of the new one."""
        return replace(self, suite=suite, cells=plan(suite, self.card, self.controls))

    def with_controls(self) -> RunPlan:
        """Add the cells of its methods' controls, where its suite asks for them."""
        controls: dict[str, Control] = {}
        for name in self.suite.methods if self.suite.controls else ():
            try:
                control = control_of(name)
                if isinstance(control, str):
                    method_file(control)
            except UserError as error:
                click.echo(printable(f"no control of {name}: {error}"), err=True)
                continue
            if control is not None:
                controls[name] = control
        return replace(self, controls=controls).with_suite(self.suite)

    @cached_property
    def digests(self) -> dict[str, Digests]:
        """Digests of the current code and data, by method, computed at first use."""
        return current_digests(self.card, self.suite, self.cells)


def current_digests(card: Card, suite: Suite, cells: Sequence[Cell]) -> dict[str, Digests]:
    """Compute the digests of a suite's code, data, weights and libraries as they are now, by method.

    What is odd about the data, and which classes of these cells cannot be learnt, is printed.
    """
    with progress_bars() as progress:
        dataset = open_dataset(card, progress)
    scenarios = dict.fromkeys(cell.scenario for cell in cells if not cell.unsplit)
    limits = dict.fromkeys(text for scenario in scenarios for text in untaught(dataset, scenario))
    for warning in (*dataset.warnings, *limits):
        click.echo(printable(f"warning: {warning}"), err=True)
    digests = present_digests(dataset, "", suite.backbones)
    methods = dict.fromkeys([*suite.methods, *(cell.method for cell in cells)])
    return {name: digests.model_copy(update={"method": method_digest(name)}) for name in methods}
