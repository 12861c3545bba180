"""Evaluator: predictions and scores of held-out items while a cell's network learns, outside the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from bench.core.errors import CellFailed
from bench.core.seeds import stream
from bench.data.splits import concatenate
from bench.engine.evaluation import predict
from bench.engine.evaluation.partitions import Partitions, View, sample_places
from bench.engine.evaluation.predict import accuracy, cross_entropy
from bench.engine.evaluation.validators import (
    NOTHING,
    DiscrepancyCache,
    LabelFree,
    Outputs,
    joined,
    label_free,
)
from bench.engine.training.cost import CostTracker
from bench.engine.training.generators import apart
from bench.engine.training.inputs.pooled import PooledInputs
from bench.method.base import Method, Model
from bench.networks.fuse import fuse_batch_norm
from bench.records.metrics import CREDITS, with_rejection
from bench.records.record import Evaluation, Predictions
from bench.records.selection import stage_ends
from bench.spec.cell import Cell
from bench.spec.stages import Partition, StageSpec

SOURCE: Partition = "source-validation"
TARGET: Partition = "target-validation"
POOL = "pool"
"""Unlabelled target images, predicted beside the partitions that are scored."""
FEW = 300 * 3 * 64 * 64
"""Numbers of all inputs below which fusing a network's batch norms takes longer than it saves."""


@dataclass
class Evaluator:
    """Evaluations of one cell, and the logits they are scores of; the method takes no part in them."""

    cell: Cell
    method: Method
    partitions: Partitions
    cost_tracker: CostTracker
    fuses: bool = False
    """True if fused batch norms are faster on the device, and the network is not compiled."""
    evaluations: list[Evaluation] = field(default_factory=list)
    logits: list[dict[Partition, np.ndarray]] = field(default_factory=list)
    before: np.ndarray | None = None
    """Logits of test items before any training, where the target has parts."""
    _discrepancy: DiscrepancyCache = field(default_factory=DiscrepancyCache)

    def evaluate(self, stage: StageSpec, model: Model, step: int, loss: float | None) -> None:
        """Evaluate a network on what is held out."""
        # Whether a stage was trained here or found, its evaluations draw the same, and training goes on as if
        # there had been none.
        draws = apart(stream(self.cell.seed, "evaluate", stage.name, step))
        with self.cost_tracker.phases("evaluate"), draws:
            model = self._fused(model)
            outputs = self.outputs(model, self.partitions.held_out)
            label_free_scores = self._label_free(outputs, SOURCE in stage.evaluate_on)
        held_out = self.partitions.held_out
        logits = {name: outputs[name].logits.numpy() for name in held_out if name in stage.evaluate_on}
        self.keep(stage, step, loss, logits, label_free_scores)

    def keep(
        self,
        stage: StageSpec,
        step: int,
        loss: float | None,
        logits: dict[Partition, np.ndarray],
        scores: LabelFree = NOTHING,
    ) -> None:
        """Score logits (images, classes) by partition, and keep both.

        Raises:
            CellFailed: logits are not finite.
        """
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise CellFailed(f"diverged: logits are not finite after step {step} of the {stage.name} stage")
        labels = {name: items.subset.labels for name, items in self.partitions.held_out.items()}
        losses = {name: cross_entropy(logits[name], labels[name]) for name in logits if name == SOURCE}
        decided = {name: self._decided(name, values) for name, values in logits.items()}
        self.logits.append(logits)
        self.evaluations.append(
            Evaluation(
                stage=stage.name,
                step=step,
                train_loss=loss,
                accuracy={name: accuracy(values, labels[name]) for name, values in decided.items()},
                metric=self._metric(decided, labels),
                loss=losses,
                validators=scores.validators,
                discrepancy=scores.discrepancy,
                diversity=scores.diversity,
            )
        )

    def _metric(
        self, logits: dict[Partition, np.ndarray], labels: dict[Partition, np.ndarray]
    ) -> dict[Partition, float | None]:
        """Value of the cell's metric by partition, None where it is undefined; empty where it is accuracy."""
        name = self.cell.metric
        if name == "accuracy":
            return {}
        found = {
            part: float(CREDITS[name](values, labels[part], values.argmax(1) == labels[part]).mean())
            for part, values in logits.items()
        }
        return {part: value if np.isfinite(value) else None for part, value in found.items()}

    def _decided(self, name: Partition, logits: np.ndarray) -> np.ndarray:
        """Logits with one of the unknown class, where the target has such items."""
        scenario = self.cell.scenario
        if not scenario.unknown or name == SOURCE:
            return logits
        return with_rejection(logits, len(scenario.target_classes))

    def state_dict(self) -> tuple[dict[str, torch.Tensor], Any]:
        """Return the evaluations so far as tensors and JSON."""
        tensors = {
            f"{place}.{name}": torch.from_numpy(values)
            for place, logits in enumerate(self.logits)
            for name, values in logits.items()
        }
        return tensors, [evaluation.model_dump() for evaluation in self.evaluations]

    def load_state_dict(self, tensors: dict[str, torch.Tensor], notes: Any) -> None:
        """Restore evaluations that `state_dict` returned."""
        self.evaluations = [Evaluation(**values) for values in notes]
        self.logits = [{} for _ in self.evaluations]
        for name, values in tensors.items():
            place, partition = name.split(".")
            self.logits[int(place)][cast(Partition, partition)] = values.numpy()

    def _fused(self, model: Model) -> Model:
        """Return a network that predicts the same faster, where that pays: for many images."""
        if not self.fuses or self.method.streams():
            return model
        parts = [
            *([self.partitions.pool] if self.partitions.pool else []),
            *self.partitions.held_out.values(),
        ]
        one = parts[0].inputs.take(parts[0].subset.rows[:1])
        images = sum(map(len, parts))
        if images * one.numel() < FEW:
            return model
        return fuse_batch_norm(model.eval(), lambda model: self.method.predict(model, one)[0])

    def outputs(self, model: Model, held_out: Mapping[Partition, View]) -> dict[str, Outputs]:
        """Predict the images of these partitions and of `POOL`, if there is one, each image once.

        Where the method adapts to a stream, each partition of the target is one.
        """
        wanted: dict[str, View] = dict(held_out.items())
        if self.partitions.pool:
            wanted[POOL] = self.partitions.pool
        found: dict[str, Outputs] = {}
        for name in [name for name in wanted if name != SOURCE and self.method.streams()]:
            found[name] = self._streamed(model, wanted.pop(name))
        return found | self._at_once(model, wanted)

    def _at_once(self, model: Model, wanted: Mapping[str, View]) -> dict[str, Outputs]:
        """Predict images by the network as it is, each image once."""
        found: dict[str, Outputs] = {}
        for inputs in {id(items.inputs): items.inputs for items in wanted.values()}.values():
            parts = {name: items.subset for name, items in wanted.items() if items.inputs is inputs}
            images = concatenate(list(parts.values()))
            _, first, places = np.unique(images.rows, return_index=True, return_inverse=True)
            with self.cost_tracker.throughput.predicting(len(first)):
                items = View(inputs, images.take(first))
                seen = self._predicted(model, items)
            ends = np.cumsum([len(images) for images in parts.values()])
            for name, mine in zip(parts, np.split(places, ends[:-1]), strict=True):
                found[name] = seen.take(mine)
        return found

    def _predicted(self, model: Model, items: View) -> Outputs:
        """Predict items by the network, or those of each client by its own."""
        if not (isinstance(items.inputs, PooledInputs) and self.method.tests_by_client()):
            return predict.outputs(self.method, model, items, self.cell.precision)
        clients = items.inputs.domains(items.subset.rows)
        found, places = [], []
        for number in np.unique(clients).tolist():
            places.append(np.flatnonzero(clients == number))
            network, mine = self.method.of_client(model, number), items.take(places[-1])
            found.append(predict.outputs(self.method, network, mine, self.cell.precision))
        return joined(found).take(np.argsort(np.concatenate(places)))

    def _streamed(self, model: Model, items: View) -> Outputs:
        """Predict items of the target, to which a copy of the network adapts as they come."""
        with self.cost_tracker.throughput.predicting(len(items)):
            form = self.cell.scenario.stream or predict.USUAL_STREAM
            return predict.streamed(self.method, model, items, self.cell.precision, self._stream_seed, form)

    @property
    def _stream_seed(self) -> int:
        return stream(self.cell.seed, "stream")

    def discrepancy_now(self, model: Model) -> dict[str, float]:
        """Distances of source and target features by name; empty where there is no source, or no target."""
        if not {SOURCE, TARGET} <= self.partitions.held_out.keys():
            return {}
        with self.cost_tracker.phases("evaluate"):
            model = self._fused(model)
            target = self.partitions.held_out[TARGET].take(self.partitions.apart)
            if not len(target):
                return {}
            # Before anything has learnt: a stream would adapt to the target's images on the way.
            outputs = self._at_once(model, {SOURCE: self.partitions.held_out[SOURCE], TARGET: target})
            source, _ = self._sample(outputs[SOURCE])
            return self._discrepancy(source, outputs[TARGET], self._fold_seed).scores

    def evaluate_before(self, model: Model) -> None:
        """Predict the test items before any training."""
        with self.cost_tracker.phases("evaluate"):
            self.before = self.outputs(model, self.partitions.held_out)["target-test"].logits.numpy()

    def predictions(self, selected: dict[str, int]) -> Predictions:
        """Logits of the evaluations that some rule selects, with labels and groups to score them by.

        Those of test images for all of them and for the last one of each stage, of target validation images
        for the headline's alone, of source ones for none: rules go by scores that evaluations hold already,
        and records are to stay small.
        """
        out: Predictions = {}
        for place in sorted({*selected.values(), *stage_ends(self.evaluations)}):
            for name, logits in self.logits[place].items():
                headline = place == selected.get(self.cell.headline) and name != SOURCE
                if name == "target-test" or headline:
                    out[f"look{place}/{name}/logits"] = logits
        for name, items in self.partitions.held_out.items():
            out[f"{name}/labels"] = items.subset.labels.astype(np.int16)
            out[f"{name}/groups"] = items.subset.groups.astype(np.int32)
            out[f"{name}/items"] = items.subset.rows.astype(np.int32)
        for name, numbers in self.partitions.parts.items():
            out[f"{name}/parts"] = numbers.astype(np.int16)
        if form := self.cell.scenario.stream:
            test = self.partitions.held_out["target-test"]
            out["target-test/stream"] = predict.stream_order(test, form, self._stream_seed).astype(np.int32)
        if self.before is not None:
            out["before/target-test/logits"] = self.before
        return out

    def _label_free(self, outputs: dict[str, Outputs], source_scores: bool) -> LabelFree:
        """Scores without target labels; with `source_scores` the head is for the source's classes.

        Nothing where nobody may see the target's images.
        """
        if POOL not in outputs:
            return NOTHING
        source, labels = None, None
        if SOURCE in outputs:
            source, places = self._sample(outputs[SOURCE])
            if source_scores:
                labels = torch.from_numpy(self.partitions.held_out[SOURCE].subset.labels[places])
        apart = outputs[TARGET].take(self.partitions.apart)
        return label_free(outputs[POOL], source, labels, apart, self._fold_seed, self._discrepancy)

    def _sample(self, source: Outputs) -> tuple[Outputs, np.ndarray]:
        """Sample of held-out source images, and their places."""
        places = sample_places(self.cell.seed, len(source.groups))
        return source.take(places), places

    @property
    def _fold_seed(self) -> int:
        """Seed of the domain classifier's folds."""
        return stream(self.cell.seed, "domain-folds")
