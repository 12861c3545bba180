"""Keys of a `[[scenarios]]` table that some kinds alone know."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.spec.cell import Federation
from bench.spec.toml import Frozen


class PartOptions(Frozen):
    """Keys of a `[[scenarios]]` table that say what the parts of its target are."""

    orders: Annotated[int, Field(ge=1, le=1000)] | list[list[str]] | None = Field(
        None,
        description="for kind continual: domains in order, a list for each order; or so many rotations of "
        "the targets, or of the groups of classes; default: one",
    )
    class_groups: int | None = Field(
        None, ge=2, le=10_000, description="for kind continual: tasks are so many groups of classes instead"
    )
    rounds: int | None = Field(
        None, ge=1, le=1_000_000, description="for kind federated: how often the clients' networks meet"
    )
    local_steps: int | None = Field(
        None, ge=1, le=1_000_000, description="for kind federated: optimiser steps of a client each round"
    )

    @property
    def said(self) -> set[str]:
        """Keys that the table has."""
        return {name for name in PartOptions.model_fields if getattr(self, name) is not None}

    @property
    def named_orders(self) -> list[list[str]]:
        """Orders that name domains."""
        return self.orders if isinstance(self.orders, list) else []

    @property
    def count(self) -> int | None:
        """Number of orders, for domains of other names."""
        return len(self.orders) if isinstance(self.orders, list) else self.orders

    @property
    def federation(self) -> Federation | None:
        """Rounds of a federated scenario."""
        if self.rounds is None or self.local_steps is None:
            return None
        return Federation(rounds=self.rounds, local_steps=self.local_steps)
