"""Stages: items that a scenario trains on, in order; `bench.engine.cell.execution` runs them in one loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from bench.spec.cell import (
    USUAL,
    Augment,
    Budget,
    Cell,
    Domains,
    Precision,
    Recipe,
    Value,
    content_hash,
    domain_names,
)
from bench.spec.toml import Frozen

Partition = Literal["target-test", "target-validation", "source-validation", "shots-validation"]
"""Held-out items that evaluations score."""


class Items(Frozen):
    """Items of some classes of a domain: a split of them, or the shots, which are a draw from `train`.

    Those of several domains come domain by domain.
    """

    domain: Domains
    classes: tuple[str, ...]
    part: Literal["train", "test", "all", "shots"]
    absent: tuple[str, ...] = ()
    """Classes of those that no item is of."""
    unknown: tuple[str, ...] = ()
    """Further classes; nobody is told labels of their items."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says nothing: keys of shared stages are as before there were such things."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value or name not in ("absent", "unknown")}

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains that they are of."""
        return domain_names(self.domain)


class StageSpec(Frozen):
    """One stage of training: its streams of items, its length, and the partitions that its head can score."""

    name: str
    labelled: Items | None
    """None in a stage that knows no labels, and adapts to `unlabelled` alone, if there are any."""
    unlabelled: Items | None = None
    replay: Items | None = None
    """Labelled items of earlier stages."""
    head: tuple[str, ...] = ()
    """Classes that the head is for, where they are more than the items'."""
    steps: int
    evaluate_on: tuple[Partition, ...] = ()

    @property
    def shared(self) -> bool:
        """True if cells with other shots run the same stage."""
        return self.labelled is not None and self.labelled.part != "shots"

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the head is for."""
        items = self.labelled or self.unlabelled
        assert items is not None or self.head, "a stage has items, or names its classes"
        return self.head or items.classes if items else self.head

    @property
    def names_alone(self) -> bool:
        """True if nothing is known but the names of the classes: nobody trains, and the head is tested."""
        return self.labelled is None and self.unlabelled is None

    @property
    def silent(self) -> set[str]:
        """Fields that keys leave out, since they say nothing."""
        return set() if self.head else {"head"}

    def restricted(self, unlabelled: bool, replay: bool) -> StageSpec:
        """Return the stage without the streams that a method may not see."""
        hidden = {"unlabelled": unlabelled, "replay": replay}
        return self.model_copy(update={name: None for name, seen in hidden.items() if not seen})


class SharedStage(Frozen):
    """Identity of a shared stage: equal for every shots and for every target that is not seen."""

    stage: StageSpec
    method: str
    overrides: dict[str, Value]
    backbone: str
    image_size: int
    augment: Augment
    budget: Budget
    seed: int
    precision: Precision
    recipe: Recipe = USUAL

    @property
    def key(self) -> str:
        """Content hash, 16 hexadecimal digits."""
        # Whether the cell is asked again with more steps does not change what this stage is.
        return content_hash(
            self.model_dump(
                mode="json",
                by_alias=True,
                exclude={
                    "recipe": self.recipe.silent,
                    "budget": {"longest"},
                    "stage": self.stage.silent,
                },
            )
        )


def shared_stages(cell: Cell, stages: Sequence[StageSpec], starts_from: str = "") -> list[SharedStage]:
    """Identities of those stages of a cell that other cells may share, and so those of another method.

    `starts_from`: the method whose source stage this one's is, if it is not its own.
    """
    if starts_from:
        cell = cell.model_copy(update={"method": starts_from, "overrides": {}})
    own = {name: getattr(cell, name) for name in SharedStage.model_fields if name != "stage"}
    return [SharedStage(stage=stage, **own) for stage in stages if stage.shared]
