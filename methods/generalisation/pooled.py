"""Pooled: all sources as one dataset, the yardstick of multi-source methods (empirical risk minimisation).

Gulrajani & Lopez-Paz 2021, "In Search of Lost Domain Generalization". https://arxiv.org/abs/2007.01434

It is full fine-tuning of several sources, whose network and source stage it takes; a step has as many items
of each source, as in the paper (appendix D).
"""

from __future__ import annotations

from bench.api import Access, GradientMethod


class Pooled(GradientMethod):
    """Cross-entropy on several sources together, over all layers."""

    reference = "hand-computed case"
    starts_from = "full-finetune"
    needs = Access.SOURCE_LABELS | Access.SOURCE_DOMAINS
