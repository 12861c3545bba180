"""Full fine-tuning: train every layer of the pretrained network, and go on doing so on the target.

Yosinski et al. 2014, "How transferable are features in deep neural networks?"
https://arxiv.org/abs/1411.1792

The recipe (AdamW, warm-up, cosine decay) is the base class's;
`docs/measurements/recipes.md` shows what chose it.
"""

from __future__ import annotations

from bench.api import GradientMethod


class FullFinetune(GradientMethod):
    """Cross-entropy on the source, then on the shots, over all layers."""

    reference = "hand-computed case"
