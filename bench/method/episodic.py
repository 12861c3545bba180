"""Methods that learn to learn: meta-trained on episodes of the source, adapted to the target's shots."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.method.base import Details, GradientMethod, Model, ParameterGroups, tunable
from bench.method.batch import Access, Batch, Episode, StageName, Task
from bench.method.items import StageItems
from bench.method.maths.inner_loop import Fast, adapt, prototype_head, prototypes
from bench.networks.backbones.base import Backbone
from bench.networks.split import POOLED


class EpisodicMethod(GradientMethod):
    """Method that learns to learn: meta-trains on episodes of the source, then fits the target's shots.

    Batch norm keeps its statistics throughout. Those of an episode are of its few classes, and help a query
    by the queries beside it; a network that is trained on them fails on all classes at once.
    """

    needs: ClassVar[Access] = Access.TARGET_LABELS

    def episode(self, task: Task) -> Episode:
        """Episode of as many ways as the batch holds with two support and two query images each."""
        way = max(2, min(len(task.classes), task.batch_size // 4))
        each = task.batch_size // way
        return Episode(way, each - each // 2, each // 2)

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Scalar loss of one episode's queries, whose support is the first `episode.learnt` images."""
        raise NotImplementedError(f"{type(self).__name__} has no episode_loss()")

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Loss of an episode, with the network in evaluation mode."""
        assert batch.episode is not None
        model.backbone.eval()
        return self.episode_loss(model, batch, batch.episode)

    def fits(self, stage: StageName) -> bool:
        """True in the target stage: the shots are adapted to in one go."""
        return stage != "source"

    def trains(self, stage: StageName) -> bool:
        """True in the source stage, which is meta-trained on."""
        return stage == "source"


class InnerLoopMethod(EpisodicMethod):
    """Method that learns an initialisation from which a few gradient steps on a support solve its task.

    A bottleneck stands between the frozen backbone and the head, so that there is something to learn that a
    CPU can afford; `adapt_from` moves the border. The head starts from the support's prototypes
    (Proto-MAML, Triantafillou et al. 2020, https://arxiv.org/abs/1903.03096), so that one initialisation
    serves any number of classes.
    """

    views = 4
    bounds = {
        "width": ">= 1",
        "inner_steps": ">= 0",
        "inner_rate": "> 0",
        "adapt_steps": ">= 0",
        "scale": "> 0",
    }

    adapt_from: str = "bottleneck"
    """Beginning of the learnt part: `bottleneck` (the backbone is frozen), a stage's name, or `all`."""
    width: int = 512
    """Width of the bottleneck between backbone and head."""
    inner_steps: int = 3
    inner_rate: float = tunable(0.03, 0.01, 1.0)
    adapt_steps: int = 10
    """Gradient steps on the shots of the target."""
    scale: float = tunable(0.03, 0.003, 1.0)
    """Factor on the squared distances to prototypes from which the head starts."""
    second_order: bool = True

    def inner(self, model: Model) -> list[str]:
        """Names of the parameters that the inner loop changes beside the head's."""
        return [name for name, _ in model.named_parameters() if not name.startswith("head.")]

    def split_point(self, backbone: Backbone) -> str | None:
        """Split point behind the frozen part, if any."""
        return {"bottleneck": POOLED, "all": None}.get(self.adapt_from, self.adapt_from)

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a bottleneck with normalised outputs, and the head."""
        if self.second_order:
            backbone.plain_attention()
        bottleneck = nn.Sequential(
            nn.Linear(backbone.num_features, self.width), nn.ReLU(), nn.LayerNorm(self.width)
        )
        return Model(nn.Sequential(backbone, bottleneck), self.new_head(self.width, task))

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Cross-entropy of the queries after adaptation to the support."""
        support = episode.learnt
        x, y = batch.x[:support], batch.y[:support]
        fast = self.adapted(model, x, y, episode.way, self.inner_steps, self.second_order)
        logits = functional_call(model, fast, (batch.x[support:],))
        return nn.functional.cross_entropy(logits, batch.y[support:])

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Adapt to the shots, in place."""
        # Nothing is differentiated through these steps, which first order takes to the same place.
        x, y = items.labelled.x, items.labelled.y
        fast = self.adapted(model, x, y, len(task.classes), self.adapt_steps, False)
        head = cast(nn.Linear, model.head)
        head.weight, head.bias = (nn.Parameter(fast[f"head.{name}"].detach()) for name in ("weight", "bias"))
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in fast.items():
                own[name].copy_(value)
        return {"steps": self.adapt_steps}

    def adapted(
        self, model: Model, x: Tensor, y: Tensor, classes: int, steps: int, second_order: bool
    ) -> Fast:
        """Parameters after gradient steps on a support (N, ...) and (N,), the head's among them.

        They have a graph back to those of `model`, which is complete with `second_order`.
        """
        features = model.features(x)
        head = prototype_head(prototypes(features, y, classes), self.scale)
        names = self.inner(model)
        if not names:  # What lies below the head stays as it is: its features do too.
            model, x = Model(nn.Identity(), model.head), features
        return adapt(model, names, head, [(x, y)] * steps, self.inner_rate, second_order)

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of all but the head, which each task makes anew."""
        parameters = [p for name, p in model.named_parameters() if not name.startswith("head.")]
        return [{"params": parameters, "weight_decay": self.weight_decay}]
