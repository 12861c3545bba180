"""Dataset cards: `datasets/<name>.toml`, data about a dataset and no code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from bench.data.sources import Source
from bench.digest import combine
from bench.errors import check_name
from bench.suite import Frozen, read_toml

_PACKAGED = Path(__file__).parents[1] / "datasets"
CARDS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "datasets"


class SplitSpec(Frozen):
    """How each class's groups are divided; the rest is for training (or adaptation)."""

    seed: int
    test: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)


class Expected(Frozen):
    """What a complete copy holds, in every domain."""

    images: int
    groups: int


class Card(Frozen):
    """One dataset: its domains, classes, split, where the images come from and under what licence."""

    name: str
    title: str
    description: str
    homepage: str
    licence: str
    citation: str
    credits: dict[str, str] = Field({}, description="by domain: whose images, under which licence")
    default_domains: list[str] = Field(min_length=1)
    classes: list[str] = Field(min_length=2, description="largest first")
    split: SplitSpec
    task_seed: int = Field(0, description="decides which half of the classes the task kinds transfer to")
    expected: Expected
    source: Annotated[Source, Field(discriminator="type")]

    @model_validator(mode="after")
    def _domains_exist(self) -> Card:
        unknown = sorted(set(self.default_domains) - set(self.domains))
        if unknown:
            raise ValueError(f"default domain '{unknown[0]}' is not one of {', '.join(self.domains)}")
        return self

    def task_split(self, classes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Disjoint (source, target) classes of the task kinds: a seeded half each, of any choice of classes.

        Which side a class is on does not depend on what else is chosen, but for evening out.
        """
        order = sorted(classes, key=lambda name: combine(str(self.task_seed), "task", name))
        old = set(order[: len(order) // 2])
        return tuple(c for c in classes if c in old), tuple(c for c in classes if c not in old)

    @property
    def domains(self) -> list[str]:
        """Every domain that can be selected."""
        return self.source.domains


def card_names() -> list[str]:
    """Names of the datasets that have a card."""
    return sorted(path.stem for path in CARDS.glob("*.toml"))


@cache
def load_card(name: str) -> Card:
    """The card of that name; a `UserError` with a suggestion when there is none."""
    check_name("dataset", name, card_names())
    path = CARDS / f"{name}.toml"
    return Card(**{"name": name, **read_toml(path, Card)})
