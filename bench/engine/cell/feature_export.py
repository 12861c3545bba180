"""Features of test images before and after a cell's training, kept for the report's maps.

They are looked at from outside, in evaluation mode, and no stream is drawn from: a cell that keeps them
answers the same, and the seconds they take are in no phase of its record.
"""

from __future__ import annotations

import numpy as np

from bench.core.seeds import stream
from bench.data.splits import TEST, pooled
from bench.engine.cell.execution import CellExecution
from bench.engine.evaluation import predict
from bench.engine.evaluation.partitions import View
from bench.method.base import Model
from bench.records.record import Predictions
from bench.spec.stages import StageSpec

MOST = 128
"""Test images of a domain; the same ones for every method and seed."""

UNCOUNTED = "kept features"


class ExecutionWithFeatures(CellExecution):
    """A cell at work that leaves features beside its predictions; none where each episode has a network."""

    def run(self) -> Predictions:
        """Run the stages as for any cell, and add features of test images before and after them."""
        self._kept: Predictions = {}
        try:
            predictions = super().run()
            if self._kept:
                self._keep("after", self._network)
        finally:
            self.cost_tracker.phases.seconds.pop(UNCOUNTED, None)
        return predictions | self._kept

    def build(self, stage: StageSpec) -> Model:
        """The network, whose features are kept as they are before anything is trained."""
        self._network = super().build(stage)
        if not self.cell.scenario.episodes:
            self._keep("before", self._network)
        return self._network

    def _keep(self, when: str, network: Model) -> None:
        modes = [(module, module.training) for module in network.modules()]
        with self.cost_tracker.phases(UNCOUNTED):
            for role, items in self._test_images().items():
                seen, images = predict.outputs(self.method, network, items, self.cell.precision), items.subset
                self._kept[f"features/{when}/{role}"] = seen.features.half().numpy()
                self._kept[f"features/{role}/labels"] = images.labels.astype(np.int16)
                self._kept[f"features/{role}/groups"] = images.groups.astype(np.int32)
                self._kept[f"features/{role}/items"] = images.rows.astype(np.int32)
        for module, mode in modes:
            module.training = mode

    def _test_images(self) -> dict[str, View]:
        """Sample of the test images of the target, and of a source that some stage trains on, by role."""
        found = {"target": self.partitions.held_out["target-test"]}
        first = self.stages[0]
        if first.shared and (source := first.labelled):
            images = pooled(self.dataset, source.domains, source.classes, TEST)
            found["source"] = View(self.partitions.of(source).inputs, images)
        return {role: _sample(items) for role, items in found.items()}


def _sample(items: View) -> View:
    random = np.random.default_rng(stream(0, "kept-features"))
    return items.take(np.sort(random.permutation(len(items))[:MOST]))
