"""One stage of one cell: the method's closed form or its loop, over what its declared access opens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.core.seeds import stream
from bench.data.dataset import Progress
from bench.data.splits import Subset, hold_out
from bench.engine.evaluation.partitions import Partitions
from bench.engine.training.accumulation import said
from bench.engine.training.batches import Endless, Episodes, Feed, Inputs
from bench.engine.training.cost import CostTracker
from bench.engine.training.data_parallel import ProcessGroup, SingleProcess, SingleProcessGroup
from bench.engine.training.loop import HeldOut, Stage, train
from bench.engine.training.loop_state import Resume
from bench.engine.training.throughput import flops
from bench.method.base import GradientMethod, Method, Model
from bench.method.batch import Access, Labelled, Task
from bench.spec.cell import Cell

OnLook = Callable[[int, float | None], None]


@dataclass
class Trainer:
    """Trains a cell's network. Nothing but this hands images to a method."""

    cell: Cell
    method: Method
    partitions: Partitions
    progress: Progress
    cost_tracker: CostTracker
    team: ProcessGroup = field(default_factory=SingleProcessGroup)

    def run(
        self,
        task: Task,
        model: Model,
        inputs: Inputs,
        labelled: Subset,
        steps: int,
        on_look: OnLook,
        resume: Resume | None = None,
    ) -> dict[str, Any]:
        """Train in place, by the method's loss or its closed form; what that took."""
        stage = task.stage
        torch.manual_seed(stream(self.cell.seed, "train", stage))
        method = self.method
        parameters, seen = 0, dict[str, int]()
        details: dict[str, Any] = {}
        if method.fits(stage):
            self.progress(f"{stage} fit", 0, 1)
            model.eval()
            if resume and resume.found:
                details[f"{stage}-stage"] = resume.notes["fit"]
            elif self.team.leads:
                details[f"{stage}-stage"] = method.fit(model, _all(inputs, labelled), task)
            seen[f"{stage}/fitted"] = len(labelled)
            parameters = sum(p.numel() for p in model.head.parameters())
            # What a fit has seen, the loop does not see again.
            steps = max(1, steps - math.ceil(len(labelled) / self.cell.budget.batch_size))
        if not method.trains(stage):
            on_look(1, None)
            return {"streams": seen, "parameters_trained": parameters, "details": details}
        assert isinstance(method, GradientMethod)
        if resume:
            resume.notes["fit"] = details.get(f"{stage}-stage")
        with self.team.stage(stage, model) as part:
            sizes, warnings = self._loop(method, part, task, model, inputs, labelled, steps, on_look, resume)
        if found := method.report(model):
            details[f"{stage}-stage"] = {**details.get(f"{stage}-stage", {}), **found}
        groups_trained = method.trainable(model)
        return {
            "streams": seen | {f"{stage}/{name}": steps * size for name, size in sizes.items()},
            "parameters_trained": sum(p.numel() for group in groups_trained for p in group["params"]),
            "devices": part.size,
            "details": details,
            "warnings": warnings,
        }

    def _loop(
        self,
        method: GradientMethod,
        part: SingleProcess,
        task: Task,
        model: Model,
        inputs: Inputs,
        labelled: Subset,
        steps: int,
        on_look: OnLook,
        resume: Resume | None,
    ) -> tuple[dict[str, int], list[str]]:
        """The engine's loop; images of a step by stream, and what the record is to say of it."""
        stage, budget = task.stage, self.cell.budget
        part.same_state(model)
        share = method.hold_out if method.validate_at(model) else 0.0
        trained, held_out = hold_out(labelled, share, stream(self.cell.seed, "hold-out", stage))
        feed = self.feed(method, task, inputs, trained)
        judged = None
        if len(held_out):
            judged = HeldOut(_all(inputs, held_out), self.feed(method, task, inputs, labelled))
        throughput = self.cost_tracker.throughput

        def stepped(step: int) -> None:
            throughput.step()
            self.progress(f"{stage} stage", step, steps)

        def looked(step: int, loss: float) -> None:
            throughput.pause()
            on_look(step, loss)

        if self.cell.setting and part.leads:
            throughput.flops = flops(method, model, feed)
        throughput.begin()
        parts = train(
            method,
            model,
            feed,
            Stage(task, steps, min(budget.evaluations, steps), self.cell.precision),
            looked,
            stepped,
            judged,
            resume,
            part,
        )
        warnings = [said(stage, feed.labelled.batch_size, parts, model)] if parts > 1 else []
        return feed.sizes, warnings

    def feed(self, method: GradientMethod, task: Task, inputs: Inputs, labelled: Subset) -> Feed:
        """The streams that the method's declared access opens, and no other."""
        access, episode, partitions = method.access, method.episode(task), self.partitions
        replayed = partitions.source if task.stage == "target" and Access.SOURCE_REPLAY in access else None

        def seed(name: str) -> int:
            return stream(self.cell.seed, "feed", task.stage, name)

        def endless(name: str, inputs: Inputs, images: Subset) -> Endless:
            return Endless(inputs, images, task.batch_size, seed(name))

        return Feed(
            Episodes(inputs, labelled, episode, seed("labelled"))
            if episode
            else endless("labelled", inputs, labelled),
            endless("source", replayed.inputs, replayed.train) if replayed else None,
            endless("unlabelled", partitions.target_inputs, partitions.target_unlabelled)
            if Access.TARGET_IMAGES in access
            else None,
            source_labels=self.cell.scenario.same_classes and not self.cell.scenario.episodes,
        )


def _all(inputs: Inputs, images: Subset) -> Labelled:
    """All images of a subset at once, not augmented."""
    x = inputs.take(images.rows)
    return Labelled(x, *(torch.from_numpy(a).to(x.device) for a in (images.labels, images.groups)))
