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
from typing import Any

from torch import Tensor, nn

from bench.api import Fast, InnerLoopMethod, Model, prototype_head, prototypes


class MamlLearn2Learn(InnerLoopMethod):
    """Meta-trains on episodes of the source; adapts to the shots by gradient steps."""

    reference = "learn2learn 0.2.0"
    control = "ncm"
    presets = {"paper": {"inner_steps": 5, "inner_rate": 0.01}}
    """For MiniImagenet (appendix A.1)."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Requirement: learn2learn, where it cannot be imported."""
        try:
            import_learn2learn()
        except ImportError as error:
            return f"needs learn2learn ({error}): make learn2learn, or the pip lines for it in the README"
        return None

    def adapted(
        self, model: Model, x: Tensor, y: Tensor, classes: int, steps: int, second_order: bool
    ) -> Fast:
        """Parameters of a clone that learn2learn has adapted to (N, ...) and (N,)."""
        algorithms = import_learn2learn().algorithms
        head = prototype_head(prototypes(model.features(x), y, classes), self.scale)
        learner = algorithms.MAML(model, lr=self.inner_rate, first_order=not second_order).clone()
        # A clone's parameters are tensors with a history, which only the dictionary itself takes.
        learner.module.head._parameters.update(weight=head[0], bias=head[1])
        for _ in range(steps):
            learner.adapt(nn.functional.cross_entropy(learner(x), y))
        return dict(learner.module.named_parameters())


def import_learn2learn() -> Any:
    """Import the library where it is used, so that it may be missing. An `ImportError` where it is."""
    # It imports gym, which says on standard error that it is no longer maintained; nothing here uses gym.
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import learn2learn
    return learn2learn
