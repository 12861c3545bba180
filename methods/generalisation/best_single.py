"""Best single: one source of several, that from which the others are classified best.

Peng et al. 2019, "Moment Matching for Multi-Source Domain Adaptation", section 5: multi-source methods are to
beat the best single source. https://arxiv.org/abs/1812.01754

The paper names the best source by its accuracy on the target's test images. This one chooses before it
trains, by the sources alone: nearest class means of each, of the network's features as they are, classify
the images of all others. A step has the chosen source's share of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Details, GeneralisationMethod, Model, Side, StageItems, Task, prototypes


class BestSingle(GeneralisationMethod):
    """Cross-entropy on the source whose class means classify the other sources best."""

    reference = "hand-computed case"
    control = "pooled"

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Choose the source."""
        super().begin(model, items, task)
        labelled, found = items.labelled, torch.empty(0)
        if labelled.domain is not None:
            model.eval()
            features = nn.functional.normalize(labelled.features(model).float())
            found = accuracy_elsewhere(features, labelled.y, labelled.domain, len(task.classes))
        model.register_buffer("elsewhere", found, persistent=False)

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Risk of the chosen source."""
        return sources[int(cast(Tensor, model.elsewhere).argmax())].risk

    def report(self, model: Model) -> Details:
        """Accuracy of each source's class means on the others, of which the highest was chosen."""
        known = cast(Tensor, model.elsewhere).tolist()
        return {"accuracy on the other sources": known} if known else {}


def accuracy_elsewhere(features: Tensor, y: Tensor, domain: Tensor, classes: int) -> Tensor:
    """Share of the other domains' items that a domain's class means classify right: -> (domains,).

    Of features (N, D), labels (N,) and domains (N,); a class that a domain lacks is never predicted.
    """
    found = []
    for number in range(int(domain.max()) + 1):
        mine = domain == number
        means = prototypes(features[mine], y[mine], classes).nan_to_num(torch.inf)
        predicted = torch.cdist(features[~mine], means).argmin(1)
        found.append((predicted == y[~mine]).float().mean())
    return torch.stack(found)
