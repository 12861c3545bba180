"""MAML: an initialisation from which a few gradient steps learn a new task.

Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks".
https://arxiv.org/abs/1703.03400
"""

from __future__ import annotations

from bench.api import InnerLoopMethod


class Maml(InnerLoopMethod):
    """Meta-trains on episodes of the source; adapts to the shots by gradient steps."""

    reference = "learn2learn 0.2.0"
    control = "ncm"
    presets = {"paper": {"inner_steps": 5, "inner_rate": 0.01}}
    """For MiniImagenet (appendix A.1)."""
