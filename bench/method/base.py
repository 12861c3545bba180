"""Base classes of methods: the verbs with their defaults, and the model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast, dataclass_transform

import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.method.batch import Access, Batch, Episode, Labelled, StageName, Task
from bench.method.items import StageItems
from bench.networks.backbones.base import Backbone
from bench.networks.split import POOLED
from bench.spec.cell import USUAL, Control, Recipe, Value


def zero_head(num_features: int, task: Task) -> nn.Linear:
    """Make a linear head at zero for the classes of a task."""
    head = nn.Linear(num_features, len(task.classes))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class Model(nn.Module):
    """Backbone and head; a method attaches what else it trains as further submodules."""

    per_domain = False
    """True if batch norm normalises each domain's images by themselves, as the recipe says."""

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

    def joint(self, streams: Sequence[Tensor], domains: Sequence[int]) -> list[Tensor]:
        """Pooled features (B, D) of several streams (B, 3, S, S), which may be empty, of one step.

        In one pass, in which batch norm sees a mixture, or in a pass for each of the `domains` (a number for
        each stream).
        """
        if not self.per_domain:
            return list(self.features(torch.cat([*streams])).split([len(x) for x in streams]))
        found: dict[int, Tensor] = {}
        for domain in sorted({domain for x, domain in zip(streams, domains, strict=True) if len(x)}):
            mine = [place for place, x in enumerate(streams) if domains[place] == domain]
            features = self.features(torch.cat([streams[place] for place in mine]))
            found |= zip(mine, features.split([len(streams[place]) for place in mine]), strict=True)
        nothing = next(iter(found.values()))[:0]
        return [found.get(place, nothing) for place in range(len(streams))]


Details = dict[str, Any]
"""Findings for the record, by name: what JSON can hold."""

ParameterGroups = list[dict[str, Any]]
"""Groups of parameters for an optimiser, with its options by name."""

Update = tuple[Tensor, Iterable[nn.Parameter]]
"""Loss and the parameters that an optimiser's update by its gradient moves."""


SecondView = Literal["weak", "strong"]
"""Augmentation of a second view: as of all training images, or RandAugment."""


def tunable(default: float, low: float, high: float, log: bool = True) -> Any:
    """Hyperparameter with a search range, on a logarithmic scale by default."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "log": log})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(tunable, dataclasses.field))
class Method:
    """Way to transfer: a frozen set of hyperparameters and a few verbs."""

    access: ClassVar[Access] = Access.SOURCE_LABELS | Access.TARGET_LABELS
    reference: ClassVar[str] = ""
    """What tests check the method against: a published implementation, as in `dalib 0.2`, or a
    `hand-computed case` of the paper's equations."""
    needs: ClassVar[Access] = Access.NOTHING
    """Access that a scenario must offer; a cell of another one is skipped, with that reason."""
    pretrained: ClassVar[bool] = True
    """True if the backbone begins with its pretrained weights."""
    views: ClassVar[int] = 0
    """Augmented views of a training image that are kept at the split point; 0: the image as it is."""
    adapts: ClassVar[bool] = False
    """True if the method takes the stage `adapt`, on unlabelled target images, where there are no shots."""
    starts_from: ClassVar[str] = ""
    """Method whose network and source stage are this one's too, with its own defaults: both share it."""
    control: ClassVar[Control | None] = None
    """The same recipe without the method's idea: hyperparameters by name, or the method that is it."""
    presets: ClassVar[dict[str, dict[str, Value]]] = {}
    """Hyperparameters by the name of a preset, as far as they are not the defaults: `paper`, as published."""
    bounds: ClassVar[dict[str, str]] = {}
    """Conditions on numbers, as `> 0, <= 1`, by hyperparameter, where a range to search does not imply them:
    `bench/method/bounds.py` says what it does. They hold for subclasses, too; `""` is any number."""
    task_only: ClassVar[bool] = False
    """True if unlabelled images have to be of the task's classes: inductive episodes have none such."""

    def __init_subclass__(cls) -> None:
        """Make every subclass a frozen dataclass of its annotated fields."""
        dataclass(frozen=True, kw_only=True)(cls)
        if cls.adapts and Access.TARGET_IMAGES not in cls.access:
            raise UserError(f"{cls.__name__} adapts, but its access has no TARGET_IMAGES to adapt to")

    @classmethod
    def unavailable(cls) -> str | None:
        """Requirement that this installation lacks, as in `needs x: pip install x`; None: nothing.

        Where something is lacking, the method's cells are skipped with that reason.
        """
        return None

    def split_point(self, backbone: Backbone) -> str | None:
        """Split point below which the backbone is frozen: one of its `stages`, `POOLED` for all, or None.

        A frozen part is in evaluation mode and sees each training image in a fixed number of `views`;
        what it computes is kept and shared between cells.
        """
        return None

    def trains(self, stage: StageName) -> bool:
        """True if a stage runs the engine's loop over `loss`."""
        return False

    def fits(self, stage: StageName) -> bool:
        """True if a stage begins with `fit`, whose images count towards the budget."""
        return False

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit `model` to all items of a stage in one go; returns details for the record."""
        raise NotImplementedError(f"{type(self).__name__} says it fits, but has no fit()")

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the network to train; by default the backbone and a linear head."""
        return Model(backbone, self.new_head(backbone.num_features, task))

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a head for the classes of a task."""
        return nn.Linear(num_features, len(task.classes))

    def replace_head(self, model: Model, task: Task) -> None:
        """Give `model` a head for the target's classes where they differ from the source's."""
        model.head = self.new_head(cast(nn.Linear, model.head).in_features, task)

    def predict(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and features (B, D), in evaluation mode."""
        features = model.features(x)
        return model.head(features), features

    def of_client(self, model: Model, number: int) -> Model:
        """Network that predicts the test items of a client, where a federated method has several."""
        return model

    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield logits (B, classes) and features (B, D) of each batch of test images, adapting on the way.

        A method that has this is tested on streams: target images (B, 3, S, S) in random order, each once.
        The next batch comes when the one before has its answer. `model` is a copy, in evaluation mode, that
        later evaluations do not see; gradients are on.
        """
        raise NotImplementedError

    @classmethod
    def tests_by_client(cls) -> bool:
        """True if each client's test items have a network of their own, by `of_client`."""
        return False

    @classmethod
    def streams(cls) -> bool:
        """True if the method adapts to test images as they come, by a `stream` of its own."""
        return cls.stream is not Method.stream


class GradientMethod(Method):
    """Method whose loss the engine minimises, by the recipe of its suite.

    AdamW: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101; SGD with Nesterov momentum: Sutskever
    et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html. The schedule `inverse` is that of Ganin
    et al. 2016, https://arxiv.org/abs/1505.07818, section 5.2.
    """

    bounds = {"learning_rate": ">= 0", "weight_decay": ">= 0", "warmup": ">= 0, <= 1"}

    learning_rate: float = tunable(1e-3, 1e-4, 1e-2)
    weight_decay: float = tunable(0.05, 1e-4, 0.5)
    warmup: float = 0.1
    """Share of a stage over which the learning rate rises, before it falls as a cosine."""

    per_sample_loss: ClassVar[bool] = True
    """True if several devices may share a batch.

    True says that `loss` is a mean over the rows of the batch, each term of which knows one row alone: an
    image with its label, and the source and target images at the same place. A class that has a `loss` of
    its own and does not say so, or takes several `updates` a step, is taken not to be. Batch norm does not
    count: the engine sees to it.
    """

    def __init_subclass__(cls) -> None:
        """A new loss may couple the images of a batch; several updates are not combined over devices."""
        super().__init_subclass__()
        undeclared = "loss" in vars(cls) and "per_sample_loss" not in vars(cls)
        if undeclared or cls.updates is not GradientMethod.updates:
            cls.per_sample_loss = False

    def trains(self, stage: StageName) -> bool:
        """True, in both stages."""
        return True

    def episode(self, task: Task) -> Episode | None:
        """Form of a step's labelled images; None: a plain batch."""
        return None

    hold_out: ClassVar[float] = 0.0
    """Share of a stage's labelled images, by group, held out until the last `on_validation`."""

    def validate_at(self, model: Model) -> tuple[float, ...]:
        """Moments of a stage, in (0, 1), at which `on_validation` is called, where images can be held out."""
        return ()

    def on_validation(self, model: Model, held_out: Labelled, progress: float) -> None:
        """Decide something by held-out labelled images, in evaluation mode: a search's turn."""

    def report(self, model: Model) -> Details:
        """Findings of a stage, for the record."""
        return {}

    second_view: ClassVar[SecondView | None] = None
    """Second view of unlabelled images in each batch: another `weak` one, or a `strong` one (RandAugment)."""

    def refresh_at(self, model: Model) -> tuple[float, ...]:
        """Moments of a stage, in [0, 1), at which `refresh` is called."""
        return ()

    def refresh(self, model: Model, items: StageItems, progress: float) -> None:
        """Compute something of all items anew, in evaluation mode: pseudo-labels, in buffers of `model`."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Prepare a stage that trains: remember what it begins with, in buffers of `model`."""

    def after_step(self, model: Model, progress: float) -> None:
        """Follow a step of the optimiser: move an average of the weights, say."""

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Conclude a stage after its last step, before it is evaluated: average weights, say."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Scalar loss of one step; `progress` runs from 0 to 1 over the stage."""
        return nn.functional.cross_entropy(model(batch.x), batch.y)

    def updates(self, model: Model, batch: Batch, progress: float) -> Iterator[Update]:
        """Updates of one step: losses, each with the parameters that it moves before the next is computed.

        By default one, of `loss` and all parameters.
        """
        yield self.loss(model, batch, progress), model.parameters()

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameter groups for the optimiser.

        A group may set `lr`, its rate before the schedule, whatever the recipe says of the backbone's, and
        `unfreeze_at`, the progress before which it stands still. By default everything, without weight decay
        on biases and normalisation.
        """
        parameters = [p for p in model.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def optimizer(self, model: Model, task: Task) -> torch.optim.Optimizer:
        """Optimiser of a stage: the recipe's. A method that has its own departs, and says why."""
        groups = [group for group in self._rated(model, task.recipe.backbone_rate) if group["params"]]
        if task.recipe.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
        return torch.optim.AdamW(groups, fused=True)

    def _rated(self, model: Model, factor: float) -> ParameterGroups:
        """Groups of `trainable` with a learning rate each, pretrained layers apart from new ones."""
        if factor == 1.0 or not self.pretrained:
            return [{"lr": self.learning_rate, **group} for group in self.trainable(model)]
        backbones = [part for part in model.modules() if isinstance(part, Backbone)]
        old = {id(parameter) for backbone in backbones for parameter in backbone.parameters()}
        rated: ParameterGroups = []
        for group in self.trainable(model):
            if "lr" in group:
                rated.append(group)
                continue
            for rate, below in ((self.learning_rate, False), (factor * self.learning_rate, True)):
                mine = [parameter for parameter in group["params"] if (id(parameter) in old) == below]
                rated.append({**group, "params": mine, "lr": rate})
        return rated

    def schedule(self, progress: float, recipe: Recipe = USUAL) -> float:
        """Factor on every learning rate at `progress` in [0, 1): the recipe's, unless the method departs."""
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "inverse":
            return float((1 + 10 * progress) ** -0.75)
        rise = min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0
        return max(rise, 0.01) * (1 + math.cos(math.pi * progress)) / 2


class ClosedFormMethod(Method):
    """Method that fits a head on frozen pooled features in one go, without the engine's loop."""

    def split_point(self, backbone: Backbone) -> str | None:
        """Split point behind the whole backbone, which is frozen."""
        return POOLED

    def fits(self, stage: StageName) -> bool:
        """True, in both stages."""
        return True

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a linear head at zero, from which fitting starts."""
        return zero_head(num_features, task)


def recipe_rates(cls: type[Method], recipe: Recipe) -> dict[str, Value]:
    """Rates that a recipe has for a method: those whose default is the usual one."""
    usual = {field.name: field.default for field in dataclasses.fields(GradientMethod)}
    asked = {"learning_rate": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    own = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return {
        name: value
        for name, value in asked.items()
        if value is not None and name in own and own[name] == usual[name]
    }
