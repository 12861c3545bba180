"""ANIL: almost no inner loop, MAML whose inner loop changes the head alone.

Raghu et al. 2020, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML".
https://arxiv.org/abs/1909.09157
"""

from __future__ import annotations

from bench.api import InnerLoopMethod, Model


class Anil(InnerLoopMethod):
    """Meta-trains features on episodes of the source; adapts the head to the shots by gradient steps."""

    reference = "learn2learn 0.2.0"
    control = "ncm"

    def inner(self, model: Model) -> list[str]:
        """No parameters: features are reused."""
        return []
