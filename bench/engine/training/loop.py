"""The one training loop in the house."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.core.errors import CellFailed
from bench.engine.training.accumulation import Accumulation
from bench.engine.training.batches import Feed
from bench.engine.training.data_parallel import SingleProcess
from bench.engine.training.loop_state import Loop, Resume
from bench.method.base import GradientMethod, Model
from bench.method.batch import Batch, Labelled, Task
from bench.networks.depthwise import quick
from bench.spec.cell import Precision

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Stage:
    """How long to train, and when to look."""

    task: Task
    steps: int
    evaluations: int
    precision: Precision

    def look_steps(self) -> list[int]:
        """Steps after which to look: equally spaced, the last included."""
        return [round(self.steps * (i + 1) / self.evaluations) for i in range(self.evaluations)]


@dataclass(frozen=True)
class HeldOut:
    """Labelled images kept out of the batches for a method to judge by; `afterwards` has them in."""

    images: Labelled
    afterwards: Feed


def train(
    method: GradientMethod,
    model: Model,
    feed: Feed,
    stage: Stage,
    on_look: Callable[[int, float], None],
    on_step: Callable[[int], None],
    held_out: HeldOut | None = None,
    resume: Resume | None = None,
    part: SingleProcess | None = None,
) -> int:
    """Run a stage in place; `on_look(step, mean training loss since the last look)` is called at each look.

    The method judges what is held out at the moments it asks for, and trains on all of it thereafter. With
    `resume` the stage begins where an earlier process left it, and keeps how far it is. `part` is what this
    process takes where several share each batch: the first alone judges and resumes, the others follow it.

    Returns:
        Parts in which each batch was taken in the end: 1, unless memory was out.

    Raises:
        CellFailed: the loss is not finite, checked at looks only, so that no step waits for the device; or
            memory is out and the batch cannot be halved.
    """
    optimizer = method.optimizer(model, stage.task)
    rates = [group["lr"] for group in optimizer.param_groups]
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=stage.precision == "fp16")
    evaluations = set(stage.look_steps())
    # A stage of few steps may have several moments at one step: none of them is lost.
    moments = method.validate_at(model) if held_out else ()
    judgements = Counter(min(round(at * stage.steps), stage.steps - 1) for at in moments)
    loop = Loop(model, optimizer, scaler, torch.zeros((), device=device))
    if resume:
        resume.begin(loop)
    part = part or SingleProcess()
    part.same_loop(loop)
    if held_out and judgements and loop.step > max(judgements):
        feed = held_out.afterwards

    gradients = quick(model, stage.precision)

    def loss_of(batch: Batch, progress: float) -> Tensor:
        with autocast(device, stage.precision), gradients:
            return part.weighted(method.loss(model, batch, progress))

    accumulation = Accumulation(loop, loss_of, _why_whole(method, model, part))
    model.train()
    for step in range(loop.step, stage.steps):
        progress = step / stage.steps
        factor = method.schedule(progress)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor if progress >= group.get("unfreeze_at", 0.0) else 0.0
        if held_out and step in judgements:
            model.eval()
            for _ in range(judgements[step] if part.leads else 0):
                method.on_validation(model, held_out.images, progress)
            part.same_state(model)
            model.train()
            if step == max(judgements):
                feed = held_out.afterwards
        batch = part.of(feed.batch(step), step)
        loop.total += part.combine(accumulation.gradient(batch, progress), model)
        scaler.step(optimizer)
        scaler.update()
        loop.step = step + 1
        on_step(loop.step)
        if loop.step in evaluations:
            mean = loop.total.item() / (loop.step - loop.since)
            if not math.isfinite(mean):
                raise CellFailed(f"diverged: the loss is {mean} within the first {loop.step} steps")
            loop.total.zero_()
            loop.since = loop.step
            on_look(loop.step, mean)
            model.train()
        if resume:
            resume.after_step(loop)
    return loop.parts


def _why_whole(method: GradientMethod, model: Model, part: SingleProcess) -> str:
    """Why batches cannot be taken in parts; empty if they can."""
    if not method.per_sample_loss:
        return "the method's loss is not declared a mean over the images of a batch (`per_sample_loss`)"
    if part.size > 1 and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        # A device that takes more passes than the others would wait for them in vain.
        return "batch norm is synchronised across devices"
    return ""


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Mixed precision for the block; nothing for fp32."""
    if precision not in AUTOCAST:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST[precision])
