"""One stage of one cell: the method's closed form or its loop, over the streams that its access opens."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from bench.core.seeds import stream
from bench.data.splits import hold_out
from bench.engine.cell.env import CellEnv
from bench.engine.evaluation.partitions import Partitions, View
from bench.engine.training.accumulation import split_warning
from bench.engine.training.batches import Batches, Endless, Episodes
from bench.engine.training.cost import StageResult
from bench.engine.training.data_parallel import ProcessGroup, SingleProcess, SingleProcessGroup
from bench.engine.training.generators import seed_generators
from bench.engine.training.inputs.pooled import PooledInputs
from bench.engine.training.loop import HeldOut, Hooks, OnEvaluation, Schedule, Training
from bench.engine.training.loop_state import Resume
from bench.engine.training.throughput import count_flops
from bench.method.base import GradientMethod, Method, Model
from bench.method.batch import Access, Labelled, Task
from bench.method.items import StageItems, even_share, opened
from bench.spec.stages import StageSpec


def visible_stages(stages: Sequence[StageSpec], method: Method, first: Method) -> list[StageSpec]:
    """Stages that a method takes part in, without the streams to which it declares no access.

    `first` is the method of the source stage, whose access counts there.
    """

    def taken(stage: StageSpec) -> bool:
        if stage.names_alone:
            return Access.CLASS_NAMES in method.access
        if stage.labelled is None:
            return method.adapts
        return (Access.SOURCE_LABELS if stage.shared else Access.TARGET_LABELS) in method.access

    def access(stage: StageSpec) -> Access:
        return (first if stage.shared else method).access

    return [
        stage.restricted(
            unlabelled=Access.TARGET_IMAGES in access(stage), replay=Access.SOURCE_REPLAY in access(stage)
        )
        for stage in stages
        if taken(stage)
    ]


@dataclass(frozen=True)
class StageRun:
    """A stage about to run: its streams, task and network, labelled items, if any, and unlabelled ones."""

    spec: StageSpec
    task: Task
    model: Model
    labelled: View
    unlabelled: View | None


@dataclass
class Trainer:
    """Trains a cell's network. Nothing but this hands items to a method."""

    env: CellEnv
    method: Method
    partitions: Partitions
    group: ProcessGroup = field(default_factory=SingleProcessGroup)

    def run(self, stage: StageRun, on_evaluation: OnEvaluation, resume: Resume | None = None) -> StageResult:
        """Train in place, by the method's closed form, its loss, or both."""
        name, method, model = stage.spec.name, self.method, stage.model
        seed_generators(stream(self.env.cell.seed, "train", name))
        result, steps = StageResult(), stage.spec.steps
        if method.fits(name):
            fitted = self._fitted(stage)
            self._fit(replace(stage, labelled=fitted), result, resume)
            # What a fit has seen, the loop does not see again.
            steps = max(1, steps - math.ceil(len(fitted) / self.env.cell.budget.batch_size))
        if not method.trains(name):
            on_evaluation(1, None)
            return result
        assert isinstance(method, GradientMethod)
        if resume:
            resume.notes["fit"] = result.details
        with self.group.stage(name, model) as process:
            sizes = self._loop(stage, process, on_evaluation, steps, result, resume)
        result.details = {**result.details, **method.report(model)}
        result.items |= {stream: steps * size for stream, size in sizes.items()}
        result.parameters_trained = sum(
            p.numel() for group in method.trainable(model) for p in group["params"]
        )
        result.devices = process.size
        return result

    def _fitted(self, stage: StageRun) -> View:
        """Labelled items of a stage that its fit sees: all, or where a loop follows, half of the budget."""
        most = stage.spec.steps * self.env.cell.budget.batch_size // 2
        if not self.method.trains(stage.spec.name) or len(stage.labelled) <= most:
            return stage.labelled
        # Otherwise a large dataset would leave the loop nothing to train with.
        places = even_share(torch.from_numpy(stage.labelled.subset.labels), most)
        return stage.labelled.take(np.sort(places.numpy()))

    def _fit(self, stage: StageRun, result: StageResult, resume: Resume | None) -> None:
        """Run the method's closed form, or take what it found from a checkpoint."""
        self.env.progress(f"{stage.spec.name} fit", 0, 1)
        stage.model.eval()
        if resume and resume.found:
            result.details = resume.notes["fit"]
        elif self.group.leads:
            with self._items(stage) as items:
                result.details = self.method.fit(stage.model, items, stage.task)
        result.items["fitted"] = len(stage.labelled)
        result.parameters_trained = sum(p.numel() for p in stage.model.head.parameters())

    def _loop(
        self,
        stage: StageRun,
        process: SingleProcess,
        on_evaluation: OnEvaluation,
        steps: int,
        result: StageResult,
        resume: Resume | None,
    ) -> dict[str, int]:
        """Run the training loop; returns the items of a step by stream."""
        method, model, cell = self.method, stage.model, self.env.cell
        assert isinstance(method, GradientMethod)
        name = stage.spec.name
        process.same_state(model)
        share = method.hold_out if method.validate_at(model) else 0.0
        kept, out = hold_out(stage.labelled.subset, share, stream(cell.seed, "hold-out", name))
        batches = self.batches(stage, View(stage.labelled.inputs, kept))
        held_out = None
        if len(out):
            held_out = HeldOut(_all(View(stage.labelled.inputs, out)), self.batches(stage, stage.labelled))
        meter = self.env.cost_tracker.throughput

        def on_step(step: int) -> None:
            meter.step()
            self.env.progress(f"{name} stage", step, steps)

        def paused(step: int, loss: float | None) -> None:
            meter.pause()
            on_evaluation(step, loss)

        schedule = Schedule(stage.task, steps, min(cell.budget.evaluations, steps), cell.precision)
        with self._items(stage) as items:
            method.begin(model, items, stage.task)
            if cell.setting and process.leads:
                meter.flops = count_flops(method, model, batches)
            meter.begin()
            hooks = Hooks(
                paused,
                on_step,
                partial(method.finish, model, items, stage.task),
                partial(method.refresh, model, items),
            )
            with _gradients_of(model, method):
                parts = Training(method, model, batches, schedule, hooks, held_out, resume, process).run()
        if parts > 1:
            result.warnings.append(split_warning(name, batches.batch_size, parts, model))
        return batches.sizes

    @contextlib.contextmanager
    def _items(self, stage: StageRun) -> Iterator[StageItems]:
        """Items of a stage that the method may see, during the block."""
        labelled, device = stage.labelled, next(stage.model.parameters()).device
        y, groups = (torch.from_numpy(a).to(device) for a in (labelled.subset.labels, labelled.subset.groups))
        domain = None
        if isinstance(labelled.inputs, PooledInputs) and Access.SOURCE_DOMAINS in self.method.access:
            domain = torch.from_numpy(labelled.inputs.domains(labelled.subset.rows)).to(device)
        with contextlib.ExitStack() as stack:
            unlabelled = None
            if view := stage.unlabelled:
                unlabelled = stack.enter_context(opened(partial(_read, view), len(view)))
            known = stack.enter_context(opened(partial(_read, labelled), len(labelled), y, groups, domain))
            yield StageItems(known, unlabelled)

    def batches(self, stage: StageRun, labelled: View) -> Batches:
        """Streams that the method's declared access opens, and no other."""
        method, spec, seed = self.method, stage.spec, self.env.cell.seed
        assert isinstance(method, GradientMethod)
        scenario, task = self.env.cell.scenario, stage.task

        def seed_of(name: str) -> int:
            return stream(seed, "feed", spec.name, name)

        def endless(name: str, items: View) -> Endless:
            return Endless(items.inputs, items.subset, task.batch_size, seed_of(name))

        known: Endless | Episodes | None = None
        if spec.labelled and (episode := method.episode(task)):
            known = Episodes(labelled.inputs, labelled.subset, episode, seed_of("labelled"))
        elif spec.labelled:
            known = endless("labelled", labelled)
        return Batches(
            known,
            endless("source", self.partitions.of(spec.replay)) if spec.replay else None,
            endless("unlabelled", stage.unlabelled) if stage.unlabelled else None,
            source_labels=bool(spec.head) or (scenario.same_classes and not scenario.episodes),
            second_view=method.second_view,
            with_domains=bool(method.access & (Access.SOURCE_DOMAINS | Access.CLIENTS)),
        )


@contextlib.contextmanager
def _gradients_of(model: Model, method: GradientMethod) -> Iterator[None]:
    """Let gradients flow to what the method trains alone; after the block, to what they flowed to before."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    chosen = {id(parameter) for group in method.trainable(model) for parameter in group["params"]}
    for parameter, _ in before:
        parameter.requires_grad_(id(parameter) in chosen)
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)


def _read(items: View, begin: int, end: int) -> torch.Tensor:
    """Items from one place to another, not augmented."""
    return items.inputs.take(items.subset.rows[begin:end])


def _all(items: View) -> Labelled:
    """All labelled items at once, not augmented."""
    x = items.inputs.take(items.subset.rows)
    labels, groups = (torch.from_numpy(a).to(x.device) for a in (items.subset.labels, items.subset.groups))
    return Labelled(x, labels, groups)
