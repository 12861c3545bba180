"""LP-FT: fit a linear probe first, then fine-tune everything from there.

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution".
https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

from bench.api import ProbedMethod, tunable


class LpFinetune(ProbedMethod):
    """A convex head on the features as they are, then cross-entropy over all layers."""

    reference = "scikit-learn 1.5+"
    control = "full-finetune"

    learning_rate: float = tunable(1e-3, 1e-5, 1e-2)
