"""DANN: features from which a discriminator cannot tell source from target.

Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks". https://arxiv.org/abs/1505.07818

As in the paper: gradient reversal (section 4.2) and its schedule (section 5.2), a discriminator with two
hidden layers of 1,024. Unlike it: the discriminator's loss is the mean over both domains' items, where the
paper adds the means, twice as much; AdamW with a cosine schedule, as for every method here, which
`docs/measurements/recipes.md` compares with SGD and with the paper's schedule.
"""

from __future__ import annotations

from bench.api import AdversarialMethod


class Dann(AdversarialMethod):
    """Source cross-entropy plus adversarial alignment of source and target features."""

    reference = "dalib 0.2"
    per_sample_loss = True
