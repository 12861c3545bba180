"""DER: kept items are replayed with what the network said of them when they were kept.

Buzzega et al. 2020, "Dark Experience for General Continual Learning: a Strong, Simple Baseline".
https://arxiv.org/abs/2004.07211

As in the paper: alpha times the mean squared difference from the kept logits (equation 6), which are those of
the moment an item enters a reservoir, all along training (section 3.1); with beta, DER++, a cross-entropy on
another draw (equation 7). Unlike it: items are kept as they were trained on, augmented, and the optimiser is
that of all methods here.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, Details, GradientMethod, Memory, Model, Task, tunable


class Dark(Model):
    """Network with a memory, and the items of the step at hand, which enter it afterwards."""

    memory: Memory
    pending: tuple[Tensor, ...]

    def __init__(self, backbone: nn.Module, head: nn.Module, capacity: int) -> None:
        super().__init__(backbone, head)
        self.memory, self.pending = Memory(capacity), ()


class Der(GradientMethod):
    """Cross-entropy on the task's items, and the distance from kept logits of kept items."""

    reference = "hand-computed case"
    access = Access.TARGET_LABELS
    needs = Access.TASKS
    control = "naive"
    bounds = {"beta": ">= 0", "capacity": ">= 0"}

    alpha: float = tunable(0.3, 0.03, 3.0)
    """Weight of the kept logits."""
    beta: float = 0.0
    """Weight of the kept labels; more than 0: DER++."""
    capacity: int = 200
    """Items that are kept."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a linear head and an empty memory."""
        return Dark(backbone, self.new_head(backbone.num_features, task), self.capacity)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and replay."""
        model = cast(Dark, model)
        memory, count, form = model.memory, len(batch.x), (batch.x.shape[1:], ())
        logits = model(batch.x)
        loss = nn.functional.cross_entropy(logits, batch.y)
        model.pending = (batch.x, batch.y, logits.detach())
        if len(memory):
            x, _, before = memory.draw(count, *form, logits.shape[1:])
            loss = loss + self.alpha * nn.functional.mse_loss(model(x.to(batch.x.dtype)), before)
        if len(memory) and self.beta:
            x, y, _ = memory.draw(count, *form, logits.shape[1:])
            loss = loss + self.beta * nn.functional.cross_entropy(model(x.to(batch.x.dtype)), y.long())
        return loss

    def after_step(self, model: Model, progress: float) -> None:
        """Offer the step's items to the memory."""
        model = cast(Dark, model)
        model.memory.offer(*model.pending)
        model.pending = ()

    def report(self, model: Model) -> Details:
        """Bytes that are kept of earlier tasks."""
        return {"bytes_kept": cast(Dark, model).memory.bytes}
