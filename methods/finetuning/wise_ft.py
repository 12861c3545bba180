"""WiSE-FT: the average of a network's weights before and after fine-tuning.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models". https://arxiv.org/abs/2109.01903

As in the paper: linear interpolation of all weights with a mixing coefficient of 0.5 (equation 1, section
3), and as in its authors' code of all buffers too, which batch norm's statistics are. Where the paper starts
from a zero-shot classifier, this starts from a linear probe (as in its appendix on other models), which is
what a stage without a text encoder has.
"""

from __future__ import annotations

from typing import cast

from torch import nn

from bench.api import Model, ProbedMethod, Snapshot, StageItems, Task, tunable


class WiseFt(ProbedMethod):
    """Fit a linear probe, fine-tune all layers, and take the mean of both networks."""

    reference = "timm 1.0.9+"
    control = {"mix": 1.0}

    mix: float = tunable(0.5, 0.1, 1.0, log=False)
    """Share of the fine-tuned weights, alpha in the paper."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Remember the weights of backbone and probe."""
        model.start = Snapshot(nn.ModuleList([model.backbone, model.head]))

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Mix the weights before and after."""
        cast(Snapshot, model.start).mix_into(nn.ModuleList([model.backbone, model.head]), self.mix)
