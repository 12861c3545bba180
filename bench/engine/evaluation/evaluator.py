"""Looks at a cell's network while it learns: what is held out, scored; the method takes no part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from bench.core.errors import CellFailed
from bench.core.seeds import stream
from bench.data.splits import Subset, concatenate
from bench.engine.evaluation import predict
from bench.engine.evaluation.partitions import Partitions, picked
from bench.engine.evaluation.validators import NOTHING, LabelFree, Outputs, Remembered, label_free
from bench.engine.training.batches import Inputs
from bench.engine.training.cost import CostTracker
from bench.method.base import Method, Model
from bench.method.batch import StageName
from bench.networks.fuse import fuse_batch_norm
from bench.records.record import Evaluation, Partition, Predictions
from bench.spec.cell import Cell

SOURCE: Partition = "source-validation"
POOL = "pool"
"""Unlabelled target images that are looked at without labels, beside the parts that are scored."""
FEW = 300 * 3 * 64 * 64
"""Numbers of all inputs below which folding a network's batch norms takes longer than it saves."""


@dataclass
class Evaluator:
    """The looks of one cell, and the logits that they saw."""

    cell: Cell
    method: Method
    partitions: Partitions
    cost_tracker: CostTracker
    folds: bool = False
    """Whether the device is one on which folded batch norms are faster, and the network is not compiled."""
    all: list[Evaluation] = field(default_factory=list)
    logits: list[dict[Partition, np.ndarray]] = field(default_factory=list)
    _measure: Remembered = field(default_factory=Remembered)

    def look(self, stage: StageName, model: Model, step: int, loss: float | None) -> None:
        """Evaluate on what is held out."""
        with self.cost_tracker.phases("evaluate"):
            model = self._quick(model)
            source_scores = stage == "source" or self.cell.scenario.same_classes
            outputs = self.outputs(model, self.partitions.held_out)
            found = self._label_free(outputs, source_scores)
        logits = {
            part: outputs[part].logits.numpy()
            for part in self.partitions.held_out
            if part != SOURCE or source_scores
        }
        self.keep(stage, step, loss, logits, found)

    def keep(
        self,
        stage: StageName,
        step: int,
        loss: float | None,
        logits: dict[Partition, np.ndarray],
        found: LabelFree = NOTHING,
    ) -> None:
        """Score what a look saw, and keep it.

        Raises:
            CellFailed: logits are not finite.
        """
        if not all(np.isfinite(scores).all() for scores in logits.values()):
            raise CellFailed(f"diverged: logits are not finite after step {step} of the {stage} stage")
        labels = {part: images.labels for part, (_, images) in self.partitions.held_out.items()}
        accuracy = {part: predict.accuracy(scores, labels[part]) for part, scores in logits.items()}
        self.logits.append(logits)
        self.all.append(
            Evaluation(
                stage=stage,
                step=step,
                train_loss=loss,
                source_validation_loss=(
                    predict.cross_entropy(logits[SOURCE], labels[SOURCE]) if SOURCE in logits else None
                ),
                source_validation_accuracy=accuracy.get(SOURCE),
                shots_validation_accuracy=accuracy.get("shots-validation"),
                target_validation_accuracy=accuracy.get("target-validation"),
                target_test_accuracy=accuracy["target-test"],
                validators=found.validators,
                discrepancy=found.discrepancy,
                diversity=found.diversity,
            )
        )

    def freeze(self) -> tuple[dict[str, torch.Tensor], Any]:
        """The looks so far, as tensors and JSON."""
        tensors = {
            f"{place}.{part}": torch.from_numpy(scores)
            for place, logits in enumerate(self.logits)
            for part, scores in logits.items()
        }
        return tensors, [look.model_dump() for look in self.all]

    def thaw(self, tensors: dict[str, torch.Tensor], notes: Any) -> None:
        """Have had these looks."""
        self.all = [Evaluation(**look) for look in notes]
        self.logits = [{} for _ in self.all]
        for name, scores in tensors.items():
            place, part = name.split(".")
            self.logits[int(place)][cast(Partition, part)] = scores.numpy()

    def _quick(self, model: Model) -> Model:
        """A network that says the same faster, where that pays: of many images."""
        if not self.folds:
            return model
        assert self.partitions.pool is not None, "no look within episodes asks for it"
        images = [self.partitions.pool, *(images for _, images in self.partitions.held_out.values())]
        one = self.partitions.target_inputs.take(self.partitions.pool.rows[:1])
        if sum(map(len, images)) * one.numel() < FEW:
            return model
        return fuse_batch_norm(model.eval(), lambda model: self.method.predict(model, one)[0])

    def outputs(
        self, model: Model, held_out: Mapping[Partition, tuple[Inputs, Subset]]
    ) -> dict[str, Outputs]:
        """What the network says of the images of these parts and of `POOL`, of each image computed once."""
        assert self.partitions.pool is not None, "no look within episodes asks for it"
        wanted: dict[str, tuple[Inputs, Subset]] = dict(held_out.items())
        wanted[POOL] = self.partitions.target_inputs, self.partitions.pool
        found: dict[str, Outputs] = {}
        for inputs in {id(inputs): inputs for inputs, _ in wanted.values()}.values():
            parts = {part: images for part, (where, images) in wanted.items() if where is inputs}
            images = concatenate(list(parts.values()))
            _, first, places = np.unique(images.rows, return_index=True, return_inverse=True)
            with self.cost_tracker.throughput.predicting(len(first)):
                seen = predict.outputs(self.method, model, inputs, images.take(first), self.cell.precision)
            ends = np.cumsum([len(images) for images in parts.values()])
            for part, mine in zip(parts, np.split(places, ends[:-1]), strict=True):
                found[part] = seen.take(mine)
        return found

    def discrepancy_now(self, model: Model) -> dict[str, float]:
        """How far apart source and target are; nothing where there is no source."""
        if SOURCE not in self.partitions.held_out:
            return {}
        with self.cost_tracker.phases("evaluate"):
            model = self._quick(model)
            outputs = self.outputs(model, {SOURCE: self.partitions.held_out[SOURCE]})
            source, _ = self._picked(outputs[SOURCE])
            return self._measure(source, outputs[POOL], self._fold_seed).scores

    def predictions(self, selected: dict[str, int]) -> Predictions:
        """Logits of the looks that some rule selects, with labels and groups to score them by.

        Those of test images for all of them, of target validation images for the headline's alone, of source
        ones for none: rules go by scores that the looks hold already, and records are to stay small.
        """
        out: Predictions = {}
        for place in sorted(set(selected.values())):
            for part, scores in self.logits[place].items():
                headline = place == selected.get(self.cell.headline) and part != SOURCE
                if part == "target-test" or headline:
                    out[f"look{place}/{part}/logits"] = scores
        for part, (_, images) in self.partitions.held_out.items():
            out[f"{part}/labels"] = images.labels.astype(np.int16)
            out[f"{part}/groups"] = images.groups.astype(np.int32)
            out[f"{part}/items"] = images.rows.astype(np.int32)
        return out

    def _label_free(self, outputs: dict[str, Outputs], source_scores: bool) -> LabelFree:
        """What unlabelled target images and held-out source images say, without target labels."""
        source, labels = None, None
        if SOURCE in outputs:
            source, places = self._picked(outputs[SOURCE])
            if source_scores:
                labels = torch.from_numpy(self.partitions.held_out[SOURCE][1].labels[places])
        return label_free(outputs[POOL], source, labels, self._fold_seed, self._measure)

    def _picked(self, source: Outputs) -> tuple[Outputs, np.ndarray]:
        """Some of the held-out source images, and their places."""
        places = picked(self.cell.seed, len(source.groups))
        return source.take(places), places

    @property
    def _fold_seed(self) -> int:
        """Seed of the domain classifier's folds."""
        return stream(self.cell.seed, "domain-folds")
