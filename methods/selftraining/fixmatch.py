"""FixMatch: confident predictions on a weakly augmented image become labels of its strongly augmented view.

Sohn et al. 2020, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence".
https://arxiv.org/abs/2001.07685

As in the paper: threshold 0.95 and weight 1, constant over training (equation 4 and section 2.2), crop and
flip as the weak view, RandAugment as the strong one (section 2.3), both through the network in one pass with
the labelled images, as in its authors' code. Unlike it: as many unlabelled as labelled images in a batch,
where it has seven times as many; no Cutout after RandAugment; the optimiser of all methods here.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.api import AlignmentMethod, Model, Side, tunable


class Fixmatch(AlignmentMethod):
    """Source cross-entropy plus that of the target's strong view with the weak view's confident labels."""

    reference = "hand-computed case"
    second_view = "strong"
    per_sample_loss = True
    presets = {"paper": {"learning_rate": 0.003, "threshold": 0.9}}
    """As TLlib's script for adaptation has it, by SGD."""

    threshold: float = tunable(0.95, 0.5, 0.99, log=False)
    """Probability from which a prediction is taken for a label."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Cross-entropy of the strong view, a mean over confident and other items."""
        assert target.second is not None
        confidence, labels = target.probabilities.detach().max(1)
        losses = nn.functional.cross_entropy(target.second.logits, labels, reduction="none")
        return (losses * (confidence >= self.threshold)).mean()
