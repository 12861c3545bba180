"""The steps of one cell: what the method may see, its stages, the looks, the predictions."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bench.core.digest import combine
from bench.core.seeds import stream
from bench.data.catalog import load_card
from bench.data.dataset import Progress, open_again
from bench.data.episodes import draw_episodes
from bench.data.splits import Subset, concatenate
from bench.engine.cell.features import Views
from bench.engine.cell.stage import Trainer
from bench.engine.evaluation import predict
from bench.engine.evaluation.evaluator import Evaluator
from bench.engine.evaluation.partitions import Source, open_partitions
from bench.engine.training.artifacts import Artifacts, Tensors
from bench.engine.training.batches import Inputs
from bench.engine.training.checkpoints import Checkpoints
from bench.engine.training.cost import CostTracker
from bench.engine.training.data_parallel import ProcessGroup, SingleProcessGroup
from bench.engine.training.loop_state import Resume
from bench.method.base import Model
from bench.method.batch import Access, StageName, Task
from bench.method.registry import configure
from bench.method.requirements import check_capability, check_per_sample_loss
from bench.networks.backbones import create_backbone, synchronised, untrained
from bench.networks.split import POOLED, suffix
from bench.records.record import Digests, Evaluation, Predictions
from bench.records.selection import select
from bench.spec.cell import Cell, Setting
from bench.spec.plan import source_stage

PIECE = 2**17
"""Numbers that are kept in one tensor of a state."""
DEAR = 10
"""Methods that train below the pooled features are asked one in so many of a scenario's episodes."""


@dataclass
class States:
    """The states of a network at the looks of a stage, and (step, loss) of each.

    A state is all numbers of a type behind each other, in pieces, `look<i>.<type>.<piece>`: hundreds of small
    tensors take longer to keep, and a file can take longer in pieces of more than a megabyte.
    """

    model: Model
    states: Tensors = field(default_factory=dict)
    evaluations: list[tuple[int, float | None]] = field(default_factory=list)

    def keep(self, step: int, loss: float | None) -> None:
        """A look."""
        for dtype, tensors in self._by_type().items():
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
            for number, piece in enumerate(flat.cpu().split(PIECE)):
                self.states[f"look{len(self.evaluations)}.{dtype}.{number}"] = piece
        self.evaluations.append((step, loss))

    def put_back(self, look: int) -> None:
        """The network as it was at a look."""
        state: Tensors = {}
        for dtype, tensors in self._by_type().items():
            sizes = [tensor.numel() for tensor in tensors.values()]
            pieces = [self.states[f"look{look}.{dtype}.{n}"] for n in range(-(-sum(sizes) // PIECE))]
            for (name, tensor), part in zip(tensors.items(), torch.cat(pieces).split(sizes), strict=True):
                state[name] = part.view(tensor.shape)
        self.model.load_state_dict(state)

    def _by_type(self) -> dict[torch.dtype, Tensors]:
        found: dict[torch.dtype, Tensors] = {}
        for name, tensor in self.model.state_dict().items():
            found.setdefault(tensor.dtype, {})[name] = tensor
        return found

    def freeze(self) -> tuple[Tensors, Any]:
        """As tensors and JSON."""
        return self.states, self.evaluations

    def thaw(self, tensors: Tensors, notes: Any) -> None:
        """Have kept these."""
        self.states, self.evaluations = dict(tensors), [(step, loss) for step, loss in notes]


class Run:
    """One cell at work. What it leaves: `evaluations`, `selected`, `details`, its costs in the ledger."""

    def __init__(
        self,
        cell: Cell,
        setting: Setting,
        digests: Digests,
        artifacts: Artifacts,
        cost_tracker: CostTracker,
        progress: Progress,
        checkpoints: Path | None = None,
        team: ProcessGroup | None = None,
    ) -> None:
        self.cell, self.setting, self.digests = cell, setting, digests
        self.artifacts, self.cost_tracker, self.progress = artifacts, cost_tracker, progress
        self.team: ProcessGroup = team or SingleProcessGroup()
        self.method = configure(cell.method, cell.overrides)
        decisive = {"digests": digests, "setting": setting, "torch": torch.__version__}
        self.checkpoints = Checkpoints(checkpoints, cell.key, cost_tracker, decisive)
        self.selected: dict[str, int] = {}
        self.details: dict[str, Any] = {}
        self.discrepancy_before: dict[str, float] = {}
        self.data_origin = ""
        self.warnings: tuple[str, ...] = ()
        self.watch: Evaluator | None = None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The looks so far."""
        return tuple(self.watch.all) if self.watch else ()

    def go(self) -> Predictions:
        """Source stage, target stage, looks; returns the predictions that are worth keeping.

        Raises:
            CellSkipped: the scenario lacks what the method needs.
            CellFailed: training diverged.
        """
        scenario = self.cell.scenario
        check_capability(self.cell.method, self.method, scenario)
        check_per_sample_loss(self.cell, self.method, self.setting.devices)
        with self.cost_tracker.phases("data"):
            self.open()
        source = self.source
        folds = self.setting.device == "cpu" and not self.setting.compile
        watch = self.watch = Evaluator(self.cell, self.method, self.partitions, self.cost_tracker, folds)
        with self.cost_tracker.phases("build"):
            model = self.build("source" if source else "target")
        self.discrepancy_before = watch.discrepancy_now(model)
        if source:
            states = self._source_stage(model)
            if scenario.shots == 0 and not scenario.episodes:
                # The looks are at the network as it was on its way.
                for place, look in enumerate(states.evaluations):
                    states.put_back(place)
                    watch.look("source", model, *look)
            elif not scenario.episodes:
                self._pass_on(model)
        if scenario.episodes:
            self._episodes(model, watch)
        elif scenario.shots != 0:
            self._target_stage(model, watch)
        self.checkpoints.clear()
        self.selected = select(watch.all)
        return watch.predictions(self.selected)

    def along(self, stage: StageName) -> None:
        """Train a stage beside the process that leads the team, which has the state, looks and record."""
        self.open()
        model = self.build("source" if self.source else "target")
        if stage == "target" and self.source:
            self._pass_on(model)
        self.trainer.run(self.task(stage), model, *self._images(stage), lambda step, loss: None)

    @property
    def source(self) -> Source | None:
        """The source, if the method learns from it."""
        return self.partitions.source if Access.SOURCE_LABELS in self.method.access else None

    def _images(self, stage: StageName) -> tuple[Inputs, Subset, int]:
        """What a stage learns from, and for how many steps."""
        if stage == "target":
            return self.partitions.target_inputs, self.partitions.labelled, self.cell.budget.target_steps
        assert self.partitions.source is not None
        return self.partitions.source.inputs, self.partitions.source.train, self.cell.budget.steps

    def _pass_on(self, model: Model) -> None:
        """From the source stage to the target's."""
        if not self.cell.scenario.same_classes:
            self._replace_head(model, self.task("target"))

    def open(self) -> None:
        """The network as it is before training, and the images by role."""
        dataset = open_again(load_card(self.cell.scenario.dataset), self.digests.dataset)
        self.dataset, self.data_origin, self.warnings = dataset, dataset.origin, dataset.warnings
        name = self.cell.backbone if self.method.pretrained else untrained(self.cell.backbone)
        views = Views(
            self.cell.model_copy(update={"backbone": name}),
            self.setting,
            dataset,
            self.digests,
            self.artifacts,
            self.cost_tracker,
            self.progress,
        )
        torch.manual_seed(stream(self.cell.seed, "init", "backbone"))
        self.backbone = create_backbone(name)
        self.cost_tracker.parameters = sum(p.numel() for p in self.backbone.parameters())
        self.split_point = self.method.split_point(self.backbone)

        def view(domain: str) -> Inputs:
            return views.get(domain, self.backbone, self.split_point, self.method.views)

        self.partitions = open_partitions(self.cell, dataset, view)
        self.trainer = Trainer(
            self.cell, self.method, self.partitions, self.progress, self.cost_tracker, self.team
        )

    def task(self, stage: StageName, classes: tuple[str, ...] = ()) -> Task:
        """The task of a stage: that of the scenario, or of an episode over some of its classes."""
        scenario = self.cell.scenario
        classes = classes or (scenario.source_classes if stage == "source" else scenario.target_classes)
        return Task(stage, classes, self.cell.budget.batch_size, stream(self.cell.seed, "method", stage))

    def build(self, stage: StageName) -> Model:
        """A fresh network from the cell's initialisation stream, on the device."""
        backbone = self.backbone
        if self.split_point is not None:
            image = torch.zeros(1, 3, self.cell.image_size, self.cell.image_size)
            backbone = suffix(backbone, self.split_point, image)
        torch.manual_seed(stream(self.cell.seed, "init", "head", stage))
        model = self.method.build(backbone, self.task(stage))
        if self.setting.devices > 1 and self.setting.device != "cpu":
            model = cast(Model, synchronised(model))
        model = model.to(self.setting.device)
        if self.setting.channels_last:
            model = model.to(memory_format=torch.channels_last)
        if self.setting.compile:
            mode = self.setting.compile
            model.backbone.compile(mode=mode if isinstance(mode, str) else None)
        return model

    def _replace_head(self, model: Model, task: Task) -> None:
        """A new head, for the target's classes."""
        torch.manual_seed(stream(self.cell.seed, "init", "head", "target"))
        self.method.replace_head(model, task)
        model.to(self.setting.device)

    def _source_stage(self, model: Model) -> States:
        """The network's states at the looks of its source stage, trained or found; it is left in the last."""
        stage = source_stage(self.cell, Access.TARGET_IMAGES in self.method.access)
        assert stage is not None

        def make() -> tuple[Tensors, dict[str, Any]]:
            kept = States(model)
            cost: dict[str, Any] = {}
            with self.cost_tracker.spend("source-stage", cost):
                resume = Resume(self.checkpoints.of("source-stage"), kept)
                cost |= self.trainer.run(
                    self.task("source"), model, *self._images("source"), kept.keep, resume
                )
            return kept.states, {**cost, "evaluations": kept.evaluations}

        key = combine(stage.key, self.digests.model_dump_json(), self.setting.model_dump_json())
        tensors, notes, made = self.artifacts.get("source-stage", key, make)
        self.cost_tracker.enter("source-stage", notes, shared=not made)
        self.details |= notes["details"]
        self._warn(notes)
        found = States(model)
        found.thaw(tensors, notes["evaluations"])
        if not made:
            found.put_back(len(found.evaluations) - 1)
        return found

    def _warn(self, cost: dict[str, Any]) -> None:
        """What a stage says of itself goes into the record, once."""
        self.warnings = tuple(dict.fromkeys([*self.warnings, *cost.get("warnings", ())]))

    def _target_stage(self, model: Model, watch: Evaluator) -> None:
        """Train on the shots, and look."""
        cost: dict[str, Any] = {}
        with self.cost_tracker.spend("target-stage", cost):
            resume = Resume(self.checkpoints.of("target-stage"), watch)
            cost |= self.trainer.run(
                self.task("target"),
                model,
                *self._images("target"),
                lambda step, loss: watch.look("target", model, step, loss),
                resume,
            )
        self.cost_tracker.enter("target-stage", cost, shared=False)
        self.details |= cost["details"]
        self._warn(cost)

    def _episodes(self, model: Model, watch: Evaluator) -> None:
        """A small target stage per episode, each from a copy of the network, and its queries' logits."""
        form, inputs = self.cell.scenario.episodes, self.partitions.target_inputs
        assert form is not None
        count = form.count if self.split_point == POOLED else math.ceil(form.count / DEAR)
        checkpoint = self.checkpoints.of("episodes")
        # So small that sharing them would cost more than it saves.
        trainer = replace(self.trainer, team=SingleProcessGroup())
        scores, queries = list[np.ndarray](), []
        if kept := checkpoint.load():
            scores = [kept[0][str(number)].numpy() for number in range(len(kept[0]))]
            self.cost_tracker.enter("target-stage", kept[1], shared=False)
        total: dict[str, Any] = {"streams": Counter(kept[1]["streams"] if kept else {})}
        for number, drawn in enumerate(draw_episodes(self.dataset, self.cell.scenario, count)):
            queries.append(drawn.queries)
            if number < len(scores):
                continue
            self.progress("episodes", number, count)
            mine, task = copy.deepcopy(model), self.task("target", drawn.classes)
            self._replace_head(mine, task)
            cost: dict[str, Any] = {}
            with self.cost_tracker.spend("target-stage", cost):
                cost |= trainer.run(task, mine, inputs, drawn.support, form.steps, lambda step, loss: None)
            self.cost_tracker.enter("target-stage", cost, shared=False)
            self._warn(cost)
            total["streams"].update(cost["streams"])
            total["parameters_trained"] = cost["parameters_trained"]
            with self.cost_tracker.phases("evaluate"):
                scores.append(
                    predict.outputs(
                        self.method,
                        mine,
                        inputs,
                        drawn.queries,
                        self.cell.precision,
                        batch_statistics=form.batch_norm == "transductive",
                    ).logits.numpy()
                )
            if checkpoint.due():
                checkpoint.save({str(n): torch.from_numpy(s) for n, s in enumerate(scores)}, total)
        self.details["episodes"] = count
        self.partitions.held_out["target-test"] = (inputs, concatenate(queries))
        watch.keep("target", form.steps, None, {"target-test": np.concatenate(scores)})
