"""Naive sequence: fine-tune on each task as it comes, and do nothing against forgetting.

McCloskey & Cohen 1989, "Catastrophic Interference in Connectionist Networks".
https://doi.org/10.1016/S0079-7421(08)60536-8

The lower bound of continual learning, and the control of its other methods.
"""

from __future__ import annotations

from bench.api import Access, GradientMethod


class Naive(GradientMethod):
    """Cross-entropy on the items of the task at hand alone."""

    reference = "hand-computed case"
    access = Access.TARGET_LABELS
    needs = Access.TASKS
