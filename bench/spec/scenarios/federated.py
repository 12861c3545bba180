"""Clients that train side by side, each on a domain of its own, and meet in rounds.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data".
https://arxiv.org/abs/1602.05629; clients whose images look otherwise: Li et al. 2021,
https://arxiv.org/abs/2102.07623
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.spec.cell import Cell, Part
from bench.spec.options import PartOptions
from bench.spec.scenarios.parts import Arrangement, PartsKind, two_or_more
from bench.spec.stages import Items, StageSpec


class Federated(PartsKind):
    """One stage of rounds times local steps; of each step's batch every client has an equal share."""

    keys = frozenset({"rounds", "local_steps"})
    budget = "{target} steps of each client in all rounds"

    def check_parts(self, options: PartOptions) -> None:
        """Check that rounds and local steps are said."""
        super().check_parts(options)
        if lacking := sorted(self.keys - options.said):
            raise ValueError(f"needs '{lacking[0]}'")

    def arrangements(
        self, options: PartOptions, domains: Sequence[str], classes: tuple[str, ...]
    ) -> list[Arrangement]:
        """All domains, a client each."""
        two_or_more(domains, "client")
        return [
            Arrangement(" + ".join(domains), tuple(Part(domain=name, classes=classes) for name in domains))
        ]

    def stages(self, cell: Cell) -> list[StageSpec]:
        """The one of all clients."""
        scenario, federation = cell.scenario, cell.scenario.federation
        assert federation is not None, "a federated scenario has rounds"
        domains = tuple(part.domain for part in scenario.parts)
        items = Items(domain=domains, classes=scenario.target_classes, part="shots")
        return [
            StageSpec(
                name="target",
                labelled=items,
                unlabelled=items.model_copy(update={"part": "test" if cell.transductive else "train"}),
                steps=federation.steps,
                evaluate_on=("target-test", "target-validation", "shots-validation"),
            )
        ]
