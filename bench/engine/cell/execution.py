"""Execution of one cell: its stages in order, evaluations, predictions."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bench.core.digest import combine
from bench.core.modalities import MODALITIES
from bench.core.seeds import stream
from bench.data.catalog import load_card
from bench.data.dataset import open_again
from bench.data.episodes import draw_episodes
from bench.data.splits import concatenate, untaught
from bench.engine.cell.digests import check_dataset, loaded_digest
from bench.engine.cell.env import CellEnv
from bench.engine.cell.features import DomainInputs
from bench.engine.cell.stage import StageRun, Trainer, visible_stages
from bench.engine.evaluation import predict
from bench.engine.evaluation.evaluator import Evaluator
from bench.engine.evaluation.partitions import View, open_partitions
from bench.engine.evaluation.parts import open_parts
from bench.engine.training.artifacts import Made, Tensors
from bench.engine.training.checkpoints import Checkpoints
from bench.engine.training.cost import StageResult
from bench.engine.training.data_parallel import ProcessGroup, SingleProcessGroup
from bench.engine.training.generators import seed_generators
from bench.engine.training.inputs.base import Inputs
from bench.engine.training.loop_state import Resume
from bench.method.base import Method, Model
from bench.method.batch import Task
from bench.method.registry import configure
from bench.method.requirements import check_capability, check_per_sample_loss
from bench.networks.backbones.create import create_backbone, example
from bench.networks.backbones.image import synchronised
from bench.networks.backbones.weights import untrained
from bench.networks.split import POOLED, suffix
from bench.records.record import Evaluation, Predictions
from bench.records.selection import select
from bench.spec.scenarios import stages as stages_of
from bench.spec.stages import StageSpec, shared_stages

PIECE = 2**17
"""Numbers that are kept in one tensor of a state."""
EXPENSIVE = 10
"""Methods that train below the pooled features are asked one in so many of a scenario's episodes."""


@dataclass
class ModelStates:
    """States of a network at the evaluations of a stage, and (step, loss) of each.

    A state is all numbers of a type behind each other, in pieces, `<evaluation>.<type>.<piece>`: hundreds of
    small tensors take longer to keep, and a file can take longer in pieces of more than a megabyte.
    """

    model: Model
    states: Tensors = field(default_factory=dict)
    evaluations: list[tuple[int, float | None]] = field(default_factory=list)

    def keep(self, step: int, loss: float | None) -> None:
        """Keep the network's state at an evaluation."""
        for dtype, tensors in self._by_type().items():
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
            for number, piece in enumerate(flat.cpu().split(PIECE)):
                self.states[f"{len(self.evaluations)}.{dtype}.{number}"] = piece
        self.evaluations.append((step, loss))

    def restore(self, place: int) -> None:
        """Put the network back to its state at an evaluation."""
        state: Tensors = {}
        for dtype, tensors in self._by_type().items():
            sizes = [tensor.numel() for tensor in tensors.values()]
            pieces = [self.states[f"{place}.{dtype}.{n}"] for n in range(-(-sum(sizes) // PIECE))]
            for (name, tensor), part in zip(tensors.items(), torch.cat(pieces).split(sizes), strict=True):
                state[name] = part.view(tensor.shape)
        self.model.load_state_dict(state)

    def _by_type(self) -> dict[torch.dtype, Tensors]:
        found: dict[torch.dtype, Tensors] = {}
        for name, tensor in self.model.state_dict().items():
            found.setdefault(tensor.dtype, {})[name] = tensor
        return found

    def state_dict(self) -> tuple[Tensors, Any]:
        """Return all of them as tensors and JSON."""
        return self.states, self.evaluations

    def load_state_dict(self, tensors: Tensors, notes: Any) -> None:
        """Take over those of another object for the same network."""
        self.states, self.evaluations = dict(tensors), [(step, loss) for step, loss in notes]


class CellExecution:
    """Execution of a cell: evaluations, findings and warnings stay in it, costs go to the tracker."""

    def __init__(
        self, env: CellEnv, checkpoints: Path | None = None, group: ProcessGroup | None = None
    ) -> None:
        """`checkpoints`: folder for them; None: none are kept. `group`: processes that share batches."""
        self.env, self.cell, self.cost_tracker = env, env.cell, env.cost_tracker
        self.group: ProcessGroup = group or SingleProcessGroup()
        self.method = configure(env.cell.method, env.cell.overrides, env.cell.recipe)
        decisive = {"digests": env.digests, "setting": env.setting}
        self.checkpoints = Checkpoints(checkpoints, env.cell.key, env.cost_tracker, decisive)
        self.selected: dict[str, int] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.episodes: int | None = None
        self.discrepancy_before: dict[str, float] = {}
        self.data_origin = ""
        self.warnings: tuple[str, ...] = ()
        self.evaluator: Evaluator | None = None

    @cached_property
    def first(self) -> Method:
        """Method whose network and source stage these are."""
        start = self.method.starts_from
        return configure(start, {}, self.cell.recipe) if start else self.method

    @property
    def stages(self) -> list[StageSpec]:
        """Stages that the method takes part in, in order, with the streams that it may see."""
        return visible_stages(stages_of(self.cell), self.method, self.first)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Evaluations so far."""
        return tuple(self.evaluator.evaluations) if self.evaluator else ()

    def run(self) -> Predictions:
        """Run the stages in order; returns the predictions that are worth keeping.

        Raises:
            CellSkipped: the scenario lacks what the method needs.
            CellFailed: training diverged.
        """
        setting = self.env.setting
        items = MODALITIES[self.cell.modality].items
        check_capability(self.cell.method, self.method, self.cell.scenario, items)
        check_per_sample_loss(self.cell, self.method, setting.devices)
        with self.cost_tracker.phases("data"):
            self.open()
        fuses = setting.device == "cpu" and not setting.compile
        evaluator = Evaluator(self.cell, self.method, self.partitions, self.cost_tracker, fuses)
        self.evaluator = evaluator
        with self.cost_tracker.phases("build"):
            model = self.build(self.stages[0])
        self.discrepancy_before = evaluator.discrepancy_now(model)
        if self.cell.scenario.parts:
            evaluator.evaluate_before(model)
        for stage in self.stages:
            if stage.shared:
                self._run_shared(stage, model, evaluator if stage == self.stages[-1] else None)
            elif stage.names_alone:
                self._hand_over(stage, model)
                self._finish(stage, StageResult(), shared=False)
                evaluator.evaluate(stage, model, 1, None)
            elif self.cell.scenario.episodes:
                self._run_episodes(stage, model, evaluator)
            else:
                self._hand_over(stage, model)
                self._run_own(stage, model, evaluator)
        self.checkpoints.clear()
        self.selected = select(evaluator.evaluations)
        return evaluator.predictions(self.selected)

    def follow(self, name: str) -> None:
        """Train a stage beside the process that leads the group, which has the state, evaluations, record."""
        self.open()
        model = self.build(self.stages[0])
        stage = next(stage for stage in self.stages if stage.name == name)
        self._hand_over(stage, model)
        self._trainer(stage).run(self._stage_run(stage, model), lambda step, loss: None)

    def open(self) -> None:
        """Open the dataset and its partitions, and create the network as it is before training."""
        cell = self.cell
        card = load_card(cell.scenario.dataset)
        dataset = open_again(card, self.env.digests.dataset)
        check_dataset(card, dataset, self.env.digests)
        self.dataset, self.data_origin = dataset, dataset.origin
        limits = () if cell.unsplit else untaught(dataset, cell.scenario)
        self.warnings = (*dataset.warnings, *limits)
        name = cell.backbone if self.first.pretrained else untrained(cell.backbone)
        env = replace(self.env, cell=cell.model_copy(update={"backbone": name}))
        domains = DomainInputs(env, dataset)
        seed_generators(stream(cell.seed, "init", "backbone"))
        self.backbone = create_backbone(name, cell.image_size)
        self.cost_tracker.parameters = sum(p.numel() for p in self.backbone.parameters())
        self.split_point = self.first.split_point(self.backbone)

        def view(domain: str) -> Inputs:
            return domains.get(domain, self.backbone, self.split_point, self.first.views)

        open_them = open_parts if cell.scenario.parts else open_partitions
        self.partitions = open_them(cell, dataset, stages_of(cell), view)
        self.trainer = Trainer(self.env, self.method, self.partitions, self.group)

    def task(self, stage: StageSpec, classes: Sequence[str] = ()) -> Task:
        """Task of a stage, or of an episode over some of its classes."""
        seed = stream(self.cell.seed, "method", stage.name)
        classes, batch_size = tuple(classes) or stage.classes, self.cell.budget.batch_size
        before = next(reversed(self.details.values()), {})
        place, federation = self.stages.index(stage), self.cell.scenario.federation
        task = Task(stage.name, classes, batch_size, seed, self.cell.recipe, before, place)
        if federation is None:
            return task
        return replace(task, clients=len(self.cell.scenario.parts), local_steps=federation.local_steps)

    def build(self, stage: StageSpec) -> Model:
        """Build the network for a stage from the cell's initialisation stream, on the device."""
        setting, backbone = self.env.setting, self.backbone
        if self.split_point is not None:
            backbone = suffix(backbone, self.split_point, example(backbone.name, self.cell.image_size))
        seed_generators(stream(self.cell.seed, "init", "head", stage.name))
        model = self.first.build(backbone, self.task(stage))
        if setting.devices > 1 and setting.device != "cpu":
            model = cast(Model, synchronised(model))
        model = model.to(setting.device)
        if setting.channels_last:
            model = model.to(memory_format=torch.channels_last)
        if setting.compile:
            model.backbone.compile(mode=setting.compile if isinstance(setting.compile, str) else None)
        return model

    def _trainer(self, stage: StageSpec) -> Trainer:
        return replace(self.trainer, method=self.first) if stage.shared else self.trainer

    def _stage_run(self, stage: StageSpec, model: Model) -> StageRun:
        unlabelled = self._shuffled(self.partitions.of(stage.unlabelled)) if stage.unlabelled else None
        if stage.labelled:
            labelled = self.partitions.of(stage.labelled)
        else:
            assert unlabelled is not None, "a stage has items"
            labelled = unlabelled.take(np.arange(0))
        return StageRun(stage, self.task(stage), model, labelled, unlabelled)

    def _shuffled(self, items: View) -> View:
        """Put unlabelled items in random order: datasets are listed class by class."""
        order = np.random.default_rng(stream(self.cell.seed, "unlabelled")).permutation(len(items))
        return items.take(order)

    def _hand_over(self, stage: StageSpec, model: Model) -> None:
        """Give the network of the stage before a head for this one's classes, where they differ."""
        place = self.stages.index(stage)
        if place and self.stages[place - 1].classes != stage.classes:
            self._replace_head(model, stage, self.task(stage))

    def _replace_head(self, model: Model, stage: StageSpec, task: Task) -> None:
        seed_generators(stream(self.cell.seed, "init", "head", stage.name))
        self.first.replace_head(model, task)
        model.to(self.env.setting.device)

    def _run_shared(self, stage: StageSpec, model: Model, evaluator: Evaluator | None) -> None:
        """Train a stage that other cells may share, or take its states from the cache.

        The network is left in the last state; with an evaluator, every state is evaluated.
        """
        (identity,) = shared_stages(self.cell, [stage], self.method.starts_from)

        def make() -> Made:
            states = ModelStates(model)
            with self.cost_tracker.stage(stage.name) as seconds:
                resume = Resume(self.checkpoints.of(stage.name), states)
                result = self._trainer(stage).run(self._stage_run(stage, model), states.keep, resume)
            result.seconds = seconds()
            return states.states, {"result": asdict(result), "evaluations": states.evaluations}

        digests, setting = self.env.digests, self.env.setting
        if start := self.method.starts_from:
            digests = digests.model_copy(update={"method": loaded_digest(start)})
        key = combine(identity.key, digests.model_dump_json(), setting.model_dump_json())
        tensors, notes, made = self.env.artifacts.get("stages", key, make)
        self._finish(stage, StageResult(**notes["result"]), shared=not made)
        states = ModelStates(model)
        states.load_state_dict(tensors, notes["evaluations"])
        if evaluator:
            for place, evaluation in enumerate(states.evaluations):
                states.restore(place)
                evaluator.evaluate(stage, model, *evaluation)
        elif not made:
            states.restore(len(states.evaluations) - 1)

    def _run_own(self, stage: StageSpec, model: Model, evaluator: Evaluator) -> None:
        """Train a stage of this cell alone, and evaluate on its way."""
        with self.cost_tracker.stage(stage.name) as seconds:
            others_follow = stage != self.stages[-1]
            resume = Resume(self.checkpoints.of(stage.name), evaluator, others_follow)
            result = self.trainer.run(
                self._stage_run(stage, model),
                lambda step, loss: evaluator.evaluate(stage, model, step, loss),
                resume,
            )
        result.seconds = seconds()
        self._finish(stage, result, shared=False)

    def _finish(self, stage: StageSpec, result: StageResult, shared: bool) -> None:
        """Note a stage's cost, findings and warnings, each warning once."""
        self.cost_tracker.add_stage(stage.name, result, shared)
        if result.details:
            self.details[stage.name] = result.details
        self.warnings = tuple(dict.fromkeys([*self.warnings, *result.warnings]))

    def _run_episodes(self, stage: StageSpec, model: Model, evaluator: Evaluator) -> None:
        """Train on each episode from a copy of the network, and keep its queries' logits."""
        form = self.cell.scenario.episodes
        assert form is not None
        assert self.partitions.target is not None, "episodes are of a target that methods see"
        inputs = self.partitions.target.inputs
        count = form.count if self.split_point == POOLED else math.ceil(form.count / EXPENSIVE)
        checkpoint = self.checkpoints.of("episodes")
        scores, queries = list[np.ndarray](), []
        total = StageResult()
        if kept := checkpoint.load():
            scores = [kept[0][str(number)].numpy() for number in range(len(kept[0]))]
            total = StageResult(**kept[1])
            self.cost_tracker.add_stage(stage.name, total, shared=False)
        # So small that sharing their batches would cost more than it saves.
        trainer = replace(self.trainer, group=SingleProcessGroup())
        for number, episode in enumerate(draw_episodes(self.dataset, self.cell.scenario, count)):
            queries.append(episode.queries)
            if number < len(scores):
                continue
            self.env.progress("episodes", number, count)
            network, task = copy.deepcopy(model), self.task(stage, episode.classes)
            self._replace_head(network, stage, task)
            with self.cost_tracker.stage(stage.name):
                queries_alone = View(inputs, episode.queries)
                others = queries_alone if self.method.task_only else self.partitions.target
                unlabelled = self._shuffled(others) if stage.unlabelled else None
                run = StageRun(stage, task, network, View(inputs, episode.support), unlabelled)
                result = trainer.run(run, lambda step, loss: None)
            self._finish(stage, replace(result, details={}), shared=False)
            total.items = dict(Counter(total.items) + Counter(result.items))
            total.parameters_trained = result.parameters_trained
            with self.cost_tracker.phases("evaluate"):
                statistics = form.batch_norm == "transductive"
                precision = self.cell.precision
                if self.method.streams():
                    seed = stream(self.cell.seed, "stream", number)
                    seen = predict.streamed(self.method, network, queries_alone, precision, seed)
                else:
                    seen = predict.outputs(self.method, network, queries_alone, precision, statistics)
                scores.append(seen.logits.numpy())
            if checkpoint.due():
                checkpoint.save({str(n): torch.from_numpy(s) for n, s in enumerate(scores)}, asdict(total))
        self.episodes = count
        self.partitions.held_out["target-test"] = View(inputs, concatenate(queries))
        evaluator.keep(stage, form.steps, None, {"target-test": np.concatenate(scores)})
