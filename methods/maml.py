"""MAML: an initialisation from which a few gradient steps learn a new task.

Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks".
https://arxiv.org/abs/1703.03400

The head starts from the support's prototypes (Proto-MAML, Triantafillou et al. 2020,
https://arxiv.org/abs/1903.03096), so that one initialisation serves any number of classes.
"""

from __future__ import annotations

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
    adapt,
    prototype_head,
    prototypes,
    tunable,
)


class Maml(EpisodicMethod):
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
        fast = self._adapt(modules, x, y, batch.episode.way, self.inner_steps, self.second_order)
        logits = torch.func.functional_call(modules, fast, (batch.x[support:],))
        return nn.functional.cross_entropy(logits, batch.y[support:])

    def fit(self, modules: Modules, labelled: Labelled, task: Task) -> dict[str, Any]:
        """Adapt to the shots, in place."""
        # Nothing is differentiated through these steps, which first order takes to the same place.
        fast = self._adapt(modules, labelled.x, labelled.y, len(task.classes), self.adapt_steps, False)
        head = cast(nn.Linear, modules.head)
        head.weight, head.bias = (nn.Parameter(fast[f"head.{name}"].detach()) for name in ("weight", "bias"))
        own = dict(modules.named_parameters())
        with torch.no_grad():
            for name, value in fast.items():
                own[name].copy_(value)
        return {"steps": self.adapt_steps}

    def _adapt(
        self, modules: Modules, x: Tensor, y: Tensor, classes: int, steps: int, second_order: bool
    ) -> dict[str, Tensor]:
        head = prototype_head(prototypes(modules.features(x), y, classes), self.scale)
        names = self.adapting(modules)
        return adapt(modules, names, head, x, y, steps, self.inner_rate, second_order)

    def adapting(self, modules: Modules) -> list[str]:
        """Names of the parameters that the inner loop changes beside the head's."""
        return [name for name, _ in modules.named_parameters() if not name.startswith("head.")]

    def trainable(self, modules: Modules) -> list[dict[str, Any]]:
        """All but the head, which each task makes anew."""
        parameters = [p for name, p in modules.named_parameters() if not name.startswith("head.")]
        return [{"params": parameters, "weight_decay": self.weight_decay}]
