"""Local training: each client trains on its own items, and never hears of the others.

Yu et al. 2020, "Salvaging Federated Learning by Local Adaptation". https://arxiv.org/abs/2002.04758

What taking part is worth to a client is measured against this, as in section 3 there.
"""

from __future__ import annotations

from bench.api import FederatedMethod, Federation


class LocalOnly(FederatedMethod):
    """Cross-entropy of each client, and no meeting."""

    reference = "hand-computed case"
    personal = True

    def meet(self, model: Federation) -> int:
        """Send nothing."""
        return 0
