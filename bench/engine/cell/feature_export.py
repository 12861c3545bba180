"""Features of test images before and after a cell's training, kept for the report's maps.

They are looked at from outside, in evaluation mode, and no stream is drawn from: a cell that keeps them
answers the same, and the seconds they take are in no phase of its record.
"""

from __future__ import annotations

import numpy as np

from bench.core.seeds import stream
from bench.data.splits import TEST, Subset, subset
from bench.engine.cell.execution import Run
from bench.engine.evaluation import predict
from bench.engine.training.batches import Inputs
from bench.method.base import Model
from bench.method.batch import StageName
from bench.records.record import Predictions

MOST = 128
"""Test images of a domain; the same ones for every method and seed."""

UNCOUNTED = "kept features"


class WithFeatures(Run):
    """A cell at work that leaves features beside its predictions; none where each episode has a network."""

    def go(self) -> Predictions:
        """As any cell goes, features added at its end."""
        self._kept: Predictions = {}
        try:
            predictions = super().go()
            if self._kept:
                self._keep("after", self._network)
        finally:
            self.cost_tracker.phases.seconds.pop(UNCOUNTED, None)
        return predictions | self._kept

    def build(self, stage: StageName) -> Model:
        """The network, whose features are kept as they are before anything is trained."""
        self._network = super().build(stage)
        if not self.cell.scenario.episodes:
            self._keep("before", self._network)
        return self._network

    def _keep(self, when: str, network: Model) -> None:
        modes = [(module, module.training) for module in network.modules()]
        with self.cost_tracker.phases(UNCOUNTED):
            for role, (inputs, images) in self._test_images().items():
                seen = predict.outputs(self.method, network, inputs, images, self.cell.precision)
                self._kept[f"features/{when}/{role}"] = seen.features.half().numpy()
                self._kept[f"features/{role}/labels"] = images.labels.astype(np.int16)
                self._kept[f"features/{role}/groups"] = images.groups.astype(np.int32)
                self._kept[f"features/{role}/items"] = images.rows.astype(np.int32)
        for module, mode in modes:
            module.training = mode

    def _test_images(self) -> dict[str, tuple[Inputs, Subset]]:
        scenario, partitions = self.cell.scenario, self.partitions
        found = {"target": partitions.held_out["target-test"]}
        if scenario.source and partitions.source:
            images = subset(self.dataset, scenario.source, scenario.source_classes, TEST)
            found["source"] = partitions.source.inputs, images
        return {role: (inputs, _some(images)) for role, (inputs, images) in found.items()}


def _some(images: Subset) -> Subset:
    random = np.random.default_rng(stream(0, "kept-features"))
    return images.take(np.sort(random.permutation(len(images))[:MOST]))
