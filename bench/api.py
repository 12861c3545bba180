"""Everything a method's author imports, and nothing else.

A method is one file in `methods/` with one `Method` class: its fields are its hyperparameters, its verbs
say what is its own. The engine owns the loop, the budget, the data and the evaluation.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, ClassVar, Literal, dataclass_transform

import torch
from torch import Tensor, nn

from bench.backbones import Backbone

__all__ = [
    "Access",
    "Backbone",
    "Batch",
    "ClosedFormMethod",
    "GradientMethod",
    "Labelled",
    "Method",
    "Modules",
    "Task",
    "tunable",
]


class Access(Flag):
    """What a method may see. The engine hands out nothing else."""

    NOTHING = 0
    SOURCE_LABELS = auto()
    """Labelled source images in the source stage."""
    SOURCE_REPLAY = auto()
    """Labelled source images in the target stage too."""
    TARGET_IMAGES = auto()
    """Unlabelled target training images, in both stages."""
    TARGET_LABELS = auto()
    """The shots, in the target stage."""


@dataclass(frozen=True)
class Task:
    """What a stage is about."""

    stage: Literal["source", "target"]
    classes: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Batch:
    """The images of one step, normalised, on the device: (B, 3, S, S), or (B, D) frozen features.

    `x`, `y` are the labelled images of the stage: the source's, or the shots. The others are there where
    `access` asks for them and the scenario has them.
    """

    x: Tensor
    y: Tensor
    source_x: Tensor | None = None
    source_y: Tensor | None = None
    target_x: Tensor | None = None


@dataclass(frozen=True)
class Labelled:
    """All labelled images of a stage at once, as frozen features: x (N, D), y (N,), groups (N,)."""

    x: Tensor
    y: Tensor
    groups: Tensor


class Modules(nn.Module):
    """A backbone and a head; a method attaches what else it trains as further submodules."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """Pooled features: (B, 3, S, S) -> (B, D)."""
        out: Tensor = self.backbone(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits: (B, 3, S, S) -> (B, classes)."""
        out: Tensor = self.head(self.features(x))
        return out


def tunable(default: float, low: float, high: float, log: bool = True) -> Any:
    """A hyperparameter with a search range, on a logarithmic scale unless told otherwise."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "log": log})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(tunable, dataclasses.field))
class Method:
    """One way to transfer: a frozen set of hyperparameters and a few verbs."""

    access: ClassVar[Access] = Access.SOURCE_LABELS | Access.TARGET_LABELS
    needs: ClassVar[Access] = Access.NOTHING
    """What a scenario must offer; a cell that does not is skipped, with that reason."""

    def __init_subclass__(cls) -> None:
        """Make every subclass a frozen dataclass of its annotated fields."""
        dataclass(frozen=True, kw_only=True)(cls)

    def frozen_features(self) -> bool:
        """Whether the whole backbone stays frozen: the method then works on (B, D) cached features."""
        return False

    def build(self, backbone: Backbone, task: Task) -> Modules:
        """The network to train; by default the backbone and a linear head."""
        return Modules(backbone, self.new_head(backbone.num_features, task))

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """A head for the classes of a task."""
        return nn.Linear(num_features, len(task.classes))

    def predict(self, modules: Modules, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and features (B, D), in evaluation mode."""
        features = modules.features(x)
        return modules.head(features), features


class GradientMethod(Method):
    """A method whose loss the engine minimises: AdamW, linear warm-up, cosine decay.

    AdamW: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101
    """

    learning_rate: float = tunable(1e-3, 1e-4, 1e-2)
    weight_decay: float = tunable(0.05, 1e-4, 0.5)
    warmup: float = 0.1
    """Share of a stage over which the learning rate rises."""

    def loss(self, modules: Modules, batch: Batch, progress: float) -> Tensor:
        """Scalar loss of one step; `progress` runs from 0 to 1 over the stage."""
        return nn.functional.cross_entropy(modules(batch.x), batch.y)

    def trainable(self, modules: Modules) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; `lr` in a group is its rate before the schedule.

        By default everything, without weight decay on biases and normalisation.
        """
        parameters = [p for p in modules.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def optimizer(self, modules: Modules, task: Task) -> torch.optim.Optimizer:
        """The optimiser of a stage."""
        groups = [{"lr": self.learning_rate, **group} for group in self.trainable(modules)]
        return torch.optim.AdamW([group for group in groups if group["params"]], foreach=True)

    def schedule(self, progress: float) -> float:
        """Factor on every learning rate at `progress` in [0, 1)."""
        rise = min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0
        return max(rise, 0.01) * (1 + math.cos(math.pi * progress)) / 2


class ClosedFormMethod(Method):
    """A method that fits a head on frozen features in one go, without the engine's loop."""

    def frozen_features(self) -> bool:
        """Always."""
        return True

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """A linear head at zero, from which fitting starts."""
        head = nn.Linear(num_features, len(task.classes))
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return head

    def fit(self, modules: Modules, labelled: Labelled, task: Task) -> dict[str, Any]:
        """Fit `modules.head` to all labelled features of a stage; returns details for the record."""
        raise NotImplementedError
