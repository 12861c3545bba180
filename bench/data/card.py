"""Dataset cards: `datasets/<name>.toml`, data about a dataset and no code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from bench.data.sources import Source
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
    expected: Expected
    source: Annotated[Source, Field(discriminator="type")]

    @model_validator(mode="after")
    def _domains_exist(self) -> Card:
        unknown = sorted(set(self.default_domains) - set(self.domains))
        if unknown:
            raise ValueError(f"default domain '{unknown[0]}' is not one of {', '.join(self.domains)}")
        return self

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
