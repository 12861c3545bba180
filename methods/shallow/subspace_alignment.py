"""Subspace alignment: the source's principal directions are turned to the target's.

Fernando et al. 2013, "Unsupervised Visual Domain Adaptation Using Subspace Alignment", ICCV.
https://doi.org/10.1109/ICCV.2013.368

As in the paper (section 3.2): source features are projected by X_S X_S' X_T and target features by X_T, the
first principal directions of each domain. Logistic regression takes the place of the nearest neighbour and
the SVM; what it learns is a linear head on the features. With shots, the target stage goes on from the
source's classifier.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Access,
    ClosedFormMethod,
    Details,
    Model,
    StageItems,
    Task,
    fit_logistic,
    strength_before,
)


class SubspaceAlignment(ClosedFormMethod):
    """Logistic regression on source features in a subspace that is aligned with the target's."""

    reference = "skada 0.6.0"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control = "linear-probe"
    bounds = {"dimensions": ">= 1"}

    dimensions: int = 100
    """Most principal directions that are kept."""

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit in the aligned subspace, and write the solution as a head on the features."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        source = labelled.features(model)
        if task.stage != "source":
            l2 = strength_before(task.before, labelled.y, labelled.groups)
            return fit_logistic(head, source, labelled.y, labelled.groups, task.seed, l2)
        assert items.unlabelled is not None
        target = items.unlabelled.features(model)
        most = min(self.dimensions, len(source) - 1, len(target) - 1, source.shape[1])
        of_source, of_target = directions(source, most), directions(target, most)
        z = (source - source.mean(0)) @ of_source @ (of_source.T @ of_target)
        small = self.new_head(most, task).to(z.device)
        details = fit_logistic(cast(nn.Linear, small), z, labelled.y, labelled.groups, task.seed)
        with torch.no_grad():
            head.weight.copy_(cast(Tensor, small.weight) @ of_target.T)
            head.bias.copy_(cast(Tensor, small.bias) - head.weight @ target.mean(0))
        return {**details, "dimensions": most}


def directions(features: Tensor, most: int) -> Tensor:
    """First principal directions (D, most) of features (N, D)."""
    return torch.linalg.svd(features - features.mean(0), full_matrices=False).Vh[:most].T
