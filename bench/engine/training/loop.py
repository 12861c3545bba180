"""Training loop: optimiser steps on batches, learning rates, evaluations, validation inside a method."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.core.errors import CellFailed
from bench.engine.training.accumulation import Accumulation
from bench.engine.training.batches import Batches
from bench.engine.training.data_parallel import SingleProcess
from bench.engine.training.loop_state import LoopState, Resume
from bench.method.base import GradientMethod, Model
from bench.method.batch import Batch, Labelled, Task
from bench.method.maths.normalisation import BatchNorm
from bench.networks.backbones.base import Backbone
from bench.networks.depthwise import quick
from bench.spec.cell import Precision

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

OnEvaluation = Callable[[int, float | None], None]
"""Called with the steps taken and the mean loss since the last evaluation, None where no loop ran."""


@dataclass(frozen=True)
class Schedule:
    """Length of a stage in optimiser steps, its evaluations, and its arithmetic."""

    task: Task
    steps: int
    evaluations: int
    precision: Precision

    def evaluation_steps(self) -> list[int]:
        """Steps after which to evaluate: equally spaced, the last included."""
        return [round(self.steps * (i + 1) / self.evaluations) for i in range(self.evaluations)]


@dataclass(frozen=True)
class HeldOut:
    """Labelled items kept out of the batches for a method's validation; `afterwards` has them in."""

    items: Labelled
    afterwards: Batches


@dataclass(frozen=True)
class Hooks:
    """Functions that the loop calls at evaluations and after each step, with the steps taken."""

    on_evaluation: OnEvaluation
    on_step: Callable[[int], None] = lambda step: None
    on_end: Callable[[], None] = lambda: None
    """Called after the last step, before its evaluation."""
    on_refresh: Callable[[float], None] = lambda progress: None
    """Called with the progress at the moments at which the method refreshes."""


@dataclass
class Training:
    """Training of a network in place, for one stage.

    The method validates on what is held out at the moments it asks for, and trains on all of it thereafter.
    With `resume` the stage begins where an earlier process left it, and keeps how far it is. `process` is the
    share of this process where several share each batch: the first alone validates and resumes.
    """

    method: GradientMethod
    model: Model
    batches: Batches
    schedule: Schedule
    hooks: Hooks
    held_out: HeldOut | None = None
    resume: Resume | None = None
    process: SingleProcess = field(default_factory=SingleProcess)

    def run(self) -> int:
        """Run the stage; `hooks.on_evaluation` gets the mean training loss since the last evaluation.

        Returns:
            Parts in which each batch was taken in the end: 1, unless memory was out.

        Raises:
            CellFailed: the loss is not finite, checked at evaluations only, so that no step waits for the
                device; or memory is out and the batch cannot be halved.
        """
        model, schedule, process = self.model, self.schedule, self.process
        optimizer = self.method.optimizer(model, schedule.task)
        rates = [group["lr"] for group in optimizer.param_groups]
        device = next(model.parameters()).device
        scaler = torch.amp.GradScaler(device.type, enabled=schedule.precision == "fp16")
        validations = self._validations()
        refreshes = {self._step(at) for at in self.method.refresh_at(model)}
        state = LoopState(model, optimizer, scaler, torch.zeros((), device=device))
        if self.resume:
            self.resume.begin(state)
        process.same_loop(state)
        if self.held_out and validations and state.step > max(validations):
            self.batches = self.held_out.afterwards
        begun = state.step
        accumulation = Accumulation(state, self._loss(device), _why_whole(self.method, model, process))
        evaluations = set(schedule.evaluation_steps())
        model.per_domain = schedule.task.recipe.batch_norm == "per-domain"
        self._training_mode()
        for step in range(state.step, schedule.steps):
            progress = step / schedule.steps
            self._set_rates(optimizer, rates, progress)
            if self.held_out and step in validations:
                self._validate(self.held_out, progress, validations[step], last=step == max(validations))
            if step in refreshes:
                self._refresh(progress)
            batch = process.of(self.batches.batch(step), step)
            if type(self.method).updates is GradientMethod.updates:
                state.total += process.combine(accumulation.gradient(batch, progress), model)
                scaler.step(optimizer)
                scaler.update()
            else:
                state.total += self._updates(state, batch, progress)
            state.step = step + 1
            self.method.after_step(model, state.step / schedule.steps)
            self.hooks.on_step(state.step)
            if state.step == schedule.steps:
                self.hooks.on_end()
            if state.step in evaluations:
                self.hooks.on_evaluation(state.step, _mean_loss(state))
                self._training_mode()
            if self.resume:
                self.resume.after_step(state)
        if self.resume and state.step > begun:
            self.resume.conclude(state)
        return state.parts

    def _updates(self, state: LoopState, batch: Batch, progress: float) -> Tensor:
        """Take a step of several updates; returns the sum of their losses, ()."""
        total, precision = torch.zeros_like(state.total), self.schedule.precision
        gradients = quick(self.model, precision)
        updates = self.method.updates(self.model, batch, progress)
        while True:
            state.optimizer.zero_grad(set_to_none=True)
            with autocast(state.total.device, precision), gradients:
                update = next(updates, None)
            if update is None:
                return total
            loss, moved = update
            state.scaler.scale(loss).backward()
            chosen = {id(parameter) for parameter in moved}
            for parameter in self.model.parameters():
                if id(parameter) not in chosen:
                    parameter.grad = None
            state.scaler.step(state.optimizer)
            state.scaler.update()
            total += loss.detach()

    def _validations(self) -> Counter[int]:
        """Steps at which the method validates, and how often."""
        # A stage of few steps may have several moments at one step: none of them is lost.
        moments = self.method.validate_at(self.model) if self.held_out else ()
        return Counter(self._step(at) for at in moments)

    def _step(self, at: float) -> int:
        """Step before which a moment of the stage comes, the last one at the latest."""
        return min(round(at * self.schedule.steps), self.schedule.steps - 1)

    def _validate(self, held_out: HeldOut, progress: float, times: int, last: bool) -> None:
        self.model.eval()
        for _ in range(times if self.process.leads else 0):
            self.method.on_validation(self.model, held_out.items, progress)
        self.process.same_state(self.model)
        self._training_mode()
        if last:
            self.batches = held_out.afterwards

    def _refresh(self, progress: float) -> None:
        self.model.eval()
        self.hooks.on_refresh(progress)
        self._training_mode()

    def _training_mode(self) -> None:
        """Put the network into training mode, but for what the recipe freezes."""
        self.model.train()
        if self.schedule.task.recipe.batch_norm == "frozen":
            backbones = [part for part in self.model.modules() if isinstance(part, Backbone)]
            for layer in (layer for backbone in backbones for layer in backbone.modules()):
                if isinstance(layer, BatchNorm):
                    layer.eval()

    def _loss(self, device: torch.device) -> Callable[[Batch, float], Tensor]:
        """Loss of a batch, in the stage's arithmetic, weighted by this process's share of it."""
        gradients = quick(self.model, self.schedule.precision)

        def loss(batch: Batch, progress: float) -> Tensor:
            with autocast(device, self.schedule.precision), gradients:
                return self.process.weighted(self.method.loss(self.model, batch, progress))

        return loss

    def _set_rates(self, optimizer: Optimizer, rates: list[float], progress: float) -> None:
        factor = self.method.schedule(progress, self.schedule.task.recipe)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor if progress >= group.get("unfreeze_at", 0.0) else 0.0


def _mean_loss(state: LoopState) -> float:
    """Mean loss since the last evaluation, at which counting begins anew.

    Raises:
        CellFailed: it is not finite.
    """
    mean = state.total.item() / (state.step - state.since)
    if not math.isfinite(mean):
        raise CellFailed(f"diverged: the loss is {mean} within the first {state.step} steps")
    state.total.zero_()
    state.since = state.step
    return mean


def _why_whole(method: GradientMethod, model: Model, process: SingleProcess) -> str:
    """Reason why batches cannot be taken in parts; empty if they can."""
    if not method.per_sample_loss:
        return "the method's loss is not declared a mean over the items of a batch (`per_sample_loss`)"
    if process.size > 1 and any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        # A device that takes more passes than the others would wait for them in vain.
        return "batch norm is synchronised across devices"
    return ""


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Mixed precision for the block; no change for fp32."""
    if precision not in AUTOCAST:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST[precision])
