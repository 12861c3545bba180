"""Centralised training: one network on the items of all clients, as if they could leave them.

Caruana 1997, "Multitask Learning". https://doi.org/10.1023/A:1007379606734

The upper reference of federated learning. Each step's batch has an equal share of every client.
"""

from __future__ import annotations

from bench.api import Access, GradientMethod


class Centralised(GradientMethod):
    """Cross-entropy on the items of all clients."""

    reference = "hand-computed case"
    access = Access.TARGET_LABELS | Access.CLIENTS
    needs = Access.CLIENTS
