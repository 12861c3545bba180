"""Pseudo-label: confident predictions on the target are taken for its labels.

Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
ICML workshop. https://www.researchgate.net/publication/280581078

The class of the largest probability becomes the label (equation 15), with a weight that rises over the
first half of a stage. Unlike it: labels below a threshold are left out, as has become usual; the weight rises
from the first step on, to 1, where equation 16 waits for 100 epochs and ends at 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.api import AlignmentMethod, Model, Side, tunable


class PseudoLabel(AlignmentMethod):
    """Source cross-entropy plus cross-entropy of the target's confident predictions with themselves."""

    reference = "hand-computed case"
    per_sample_loss = True

    threshold: float = tunable(0.95, 0.5, 0.99, log=False)
    """Probability from which a prediction is taken for a label."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Cross-entropy of confident items, a mean over all."""
        confidence, labels = target.probabilities.detach().max(1)
        losses = nn.functional.cross_entropy(target.logits, labels, reduction="none")
        return min(1.0, 2 * progress) * (losses * (confidence >= self.threshold)).mean()
