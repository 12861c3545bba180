"""MAML by learn2learn: the same method as `maml`, its inner loop run by another library.

Arnold et al. 2020, "learn2learn: A Library for Meta-Learning Research". https://arxiv.org/abs/2008.12284
Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks".
https://arxiv.org/abs/1703.03400

Hyperparameters, network and episodes are those of `maml`, so that a difference between the two would be
one between the implementations.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import (
    POOLED,
    Backbone,
    Batch,
    EpisodicMethod,
    Labelled,
    Modules,
    Task,
    prototype_head,
    prototypes,
    tunable,
)


class MamlLearn2Learn(EpisodicMethod):
    """Meta-trains on episodes of the source; adapts to the shots by gradient steps."""

    views = 4

    adapt_from: str = "bottleneck"
    """Where the adapting part begins: `bottleneck` (the backbone is frozen), a stage's name, or `all`."""
    width: int = 512
    """Of the bottleneck between backbone and head."""
    inner_steps: int = 3
    inner_rate: float = tunable(0.03, 0.01, 1.0)
    adapt_steps: int = 10
    """Gradient steps on the shots of the target."""
    scale: float = tunable(0.03, 0.003, 1.0)
    """Of the squared distances to prototypes from which the head starts."""
    second_order: bool = True

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether learn2learn can be imported, and else how to get it."""
        try:
            import_learn2learn()
        except ImportError as error:
            return f"needs learn2learn ({error}): make learn2learn, or the pip lines for it in the README"
        return None

    def cut(self, backbone: Backbone) -> str | None:
        """The frozen part, if any."""
        return {"bottleneck": POOLED, "all": None}.get(self.adapt_from, self.adapt_from)

    def build(self, backbone: Backbone, task: Task) -> Modules:
        """The backbone, a bottleneck with normalised outputs, and the head."""
        bottleneck = nn.Sequential(
            nn.Linear(backbone.num_features, self.width), nn.ReLU(), nn.LayerNorm(self.width)
        )
        return Modules(nn.Sequential(backbone, bottleneck), self.new_head(self.width, task))

    def loss(self, modules: Modules, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of the queries after adaptation to the support."""
        assert batch.episode is not None
        # Batch norm keeps its statistics: a query must not be helped by the queries beside it.
        modules.backbone.eval()
        support = batch.episode.way * batch.episode.support
        x, y = batch.x[:support], batch.y[:support]
        learner = self._adapt(modules, x, y, batch.episode.way, self.inner_steps, not self.second_order)
        return nn.functional.cross_entropy(learner(batch.x[support:]), batch.y[support:])

    def fit(self, modules: Modules, labelled: Labelled, task: Task) -> dict[str, Any]:
        """Adapt to the shots, in place."""
        # Nothing is differentiated through these steps, which first order takes to the same place.
        learner = self._adapt(modules, labelled.x, labelled.y, len(task.classes), self.adapt_steps, True)
        learnt = {name: value.detach() for name, value in learner.named_parameters()}
        head = cast(nn.Linear, modules.head)
        head.weight, head.bias = (nn.Parameter(learnt[f"head.{name}"]) for name in ("weight", "bias"))
        with torch.no_grad():
            for name, parameter in modules.named_parameters():
                parameter.copy_(learnt[name])
        return {"steps": self.adapt_steps}

    def _adapt(
        self, modules: Modules, x: Tensor, y: Tensor, classes: int, steps: int, first_order: bool
    ) -> Modules:
        """A copy of `modules` after gradient steps on (N, ...) and (N,), with a graph back to `modules`."""
        algorithms = import_learn2learn().algorithms
        head = prototype_head(prototypes(modules.features(x), y, classes), self.scale)
        learner = algorithms.MAML(modules, lr=self.inner_rate, first_order=first_order).clone()
        # A clone's parameters are tensors with a history, which only the dictionary itself takes.
        learner.module.head._parameters.update(weight=head[0], bias=head[1])
        for _ in range(steps):
            learner.adapt(nn.functional.cross_entropy(learner(x), y))
        adapted: Modules = learner.module
        return adapted

    def trainable(self, modules: Modules) -> list[dict[str, Any]]:
        """All but the head, which each task makes anew."""
        parameters = [p for name, p in modules.named_parameters() if not name.startswith("head.")]
        return [{"params": parameters, "weight_decay": self.weight_decay}]


def import_learn2learn() -> Any:
    """The library, imported where it is used, so that it may be missing. An `ImportError` where it is."""
    # It imports gym, which says on standard error that it is no longer maintained; nothing here uses gym.
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import learn2learn
    return learn2learn
