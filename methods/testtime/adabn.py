"""AdaBN: batch norm whose statistics are those of the target.

Li et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation".
https://arxiv.org/abs/1603.04779

As in the paper (algorithm 1): the network is trained on labelled items, then mean and variance of each
layer of batch norm are computed anew on unlabelled target items. A network without batch norm stays as it
is.
"""

from __future__ import annotations

from bench.api import (
    Access,
    Details,
    GradientMethod,
    Model,
    StageItems,
    StageName,
    Task,
    recompute_statistics,
)


class Adabn(GradientMethod):
    """Cross-entropy over all layers, then batch norm's statistics of the unlabelled target."""

    reference = "pytorch-adapt 0.0.83"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    adapts = True
    starts_from = "full-finetune"
    control = "full-finetune"

    def trains(self, stage: StageName) -> bool:
        """True where there are labels."""
        return stage != "adapt"

    def fits(self, stage: StageName) -> bool:
        """True where there are none."""
        return stage == "adapt"

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Recompute all statistics on the target."""
        self.finish(model, items, task)
        return {}

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Recompute all statistics as plain means over batches of the target."""
        assert items.unlabelled is not None
        recompute_statistics(model, items.unlabelled.batches())
