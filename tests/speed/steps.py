"""What a training step of each method costs: `python -m tests.speed.steps [--backbone NAME] [METHOD ...]`.

Measured in turn with steps of full fine-tuning, on one thread, and divided by those: medians of the quotients
of neighbours. Of a method that has no steps, one fit; of one that reads all items anew now and then, a whole
stage by the number of its steps. The network and the images are those of the suite `quick`: the first stage
that is a method's own, evaluations left out; of a method that this network has no place for, both are taken
on a vision transformer, or else on sequences or on rows of tables. Writes `methods/costs.tsv`, which
`bench list methods` shows; methods that are not named keep their lines there. With another network it prints.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from bench.core.errors import CellSkipped
from bench.data.catalog import load_card
from bench.method.batch import Access
from bench.method.registry import COSTS, load_method, method_modules, select_methods
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, load_suite
from tests.support.cells import steps_of

STEPS, ROUNDS = 4, 5
REFERENCE = "full-finetune"
PLACES = (
    ("quick", None),
    ("quick", "vit_tiny_patch16_224.untrained"),
    ("area-biology", None),
    ("area-finance", None),
)
"""Suites and networks, None for the suite's own, in the order in which a method is tried on them."""


class Steps:
    """Steps of a method's first own stage; the same network goes on from run to run."""

    def __init__(self, name: str, artifacts: Path, suite: str = "quick", backbone: str | None = None) -> None:
        """`artifacts`: folder of frozen features, so that their making is no part of any step.

        Raises:
            CellSkipped: the method lacks something on this machine, or has no place in the network.
        """
        for shots in (5, 0):
            self.execution = steps_of(question(name, shots, suite, backbone), artifacts)
            self.method = self.execution.method
            own = [stage for stage in self.execution.stages if not (self.method.starts_from and stage.shared)]
            if any(stage.name == "adapt" for stage in own) or not (self.method.adapts and shots):
                break
        if lacks := self.method.unavailable():
            raise CellSkipped(f"{name} {lacks}")
        method, execution = self.method, self.execution
        spec = next(stage for stage in own if method.trains(stage.name) or method.fits(stage.name))
        self.trained = method.trains(spec.name)
        execution.open()
        model = execution.build(execution.stages[0])
        execution._hand_over(spec, model)
        stage = execution._stage_run(spec, model)
        # The loop leaves out as many steps as a fit before it has seen images.
        fitted = math.ceil(len(stage.labelled) / stage.task.batch_size) if method.fits(spec.name) else 0
        self.refreshes = self.trained and bool(method.refresh_at(model))
        steps = spec.steps if self.refreshes else STEPS + fitted
        self.stage = replace(stage, spec=spec.model_copy(update={"steps": steps}))
        self.moments: list[float] = []
        self.trainer = replace(execution._trainer(spec), env=replace(execution.env, progress=self._note))

    def _note(self, what: str, done: int, total: int) -> None:
        if what.endswith(" stage"):
            self.moments.append(time.perf_counter())

    def run(self) -> float:
        """Take some steps; returns the seconds of one, the first left out, or of the whole fit.

        Where steps differ by what is refreshed before them, the mean of a stage instead of a median.
        """
        self.moments = []
        began = time.perf_counter()
        self.items = self.trainer.run(self.stage, lambda step, loss: None).items
        if not self.trained:
            return time.perf_counter() - began
        if self.refreshes:
            return (self.moments[-1] - began) / len(self.moments)
        return median(after - before for before, after in pairwise(self.moments))


def question(name: str, shots: int, named: str, backbone: str | None) -> Cell:
    """First pair of a suite, google → twitter of `quick`; other sources, classes or clients if needed."""
    suite, needs = load_suite(named), load_method(name).needs
    suite = suite.model_copy(update={"methods": [name], "backbones": [backbone or suite.backbones[0]]})
    if Access.CLIENTS in needs:
        rounds = ScenarioTable(kind="federated", rounds=STEPS, local_steps=1, shots=["all"])
        return plan(suite.model_copy(update={"scenarios": [rounds]}), load_card(suite.dataset))[0]
    cells = plan(suite, load_card(suite.dataset))
    cell = next(cell for cell in cells if cell.scenario.source and cell.scenario.shots == shots)
    change: dict[str, object] = {}
    if Access.SOURCE_DOMAINS in needs:
        change = {"kind": "multi-source", "source": ("apple", "google")}
    elif Access.UNKNOWN_CLASSES in needs:
        known, unknown = cell.scenario.target_classes[:-2], cell.scenario.target_classes[-2:]
        change = {"kind": "open", "source_classes": known, "target_classes": known, "unknown": unknown}
    elif Access.CLASS_NAMES in needs:
        old, new = cell.scenario.target_classes[::2], cell.scenario.target_classes[1::2]
        change = {"kind": "zero-shot", "source_classes": old, "target_classes": new}
    return cell.model_copy(update={"scenario": cell.scenario.model_copy(update=change)})


def relative(steps: Steps, reference: Steps) -> tuple[str, float]:
    """`step` or `fit`, and its seconds as a multiple of the reference's step."""
    reference.run()
    if steps.refreshes:
        # A whole stage is a mean over many steps already, the first among them.
        return "step", steps.run() / median(reference.run() for _ in range(ROUNDS))
    steps.run()
    return "step" if steps.trained else "fit", median(steps.run() / reference.run() for _ in range(ROUNDS))


def measured(name: str, artifacts: Path, places: Sequence[tuple[str, str | None]]) -> tuple[str, float]:
    """Cost of a method relative to full fine-tuning, in the first place that it has something to train in."""
    (suite, backbone), *others = places
    try:
        return relative(Steps(name, artifacts, suite, backbone), _reference(artifacts, suite, backbone))
    except CellSkipped:
        if not others:
            raise
        return measured(name, artifacts, others)


@cache
def _reference(artifacts: Path, suite: str, backbone: str | None) -> Steps:
    return Steps(REFERENCE, artifacts, suite, backbone)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", help="another network than the suite's")
    parser.add_argument("methods", nargs="*", help="names or patterns; all, if none is given")
    said = parser.parse_args()
    torch.set_num_threads(1)
    places = [("quick", said.backbone), PLACES[1]] if said.backbone else PLACES
    lines = COSTS.read_text(encoding="utf-8").splitlines() if COSTS.exists() else []
    rows = {line.split("\t")[0]: line for line in lines if line[:1] != "#"}
    with tempfile.TemporaryDirectory() as folder:
        for name in select_methods(said.methods) if said.methods else sorted(method_modules()):
            try:
                what, cost = measured(name, Path(folder), places)
            except CellSkipped as reason:
                print(f"not measured: {reason}", flush=True)
                continue
            rows[name] = f"{name}\t{what}\t{cost:{'.2g' if cost < 99.5 else '.0f'}}"
            print(rows[name], flush=True)
            if said.backbone:
                continue
            known = [rows[name] for name in sorted(rows.keys() & method_modules().keys())]
            COSTS.write_text("\n".join(["# python -m tests.speed.steps", *known, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
