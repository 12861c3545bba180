"""Dataset cards: `datasets/<name>.toml`, data about a dataset and no code."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from bench.core.digest import combine
from bench.core.errors import UserError, did_you_mean
from bench.core.modalities import MODALITIES, Modality, ModalityName
from bench.data.corruptions.domains import Corrupted, Corruption
from bench.data.decoders.base import Fit
from bench.data.source import Source
from bench.spec.cell import TOGETHER
from bench.spec.metrics import Metric
from bench.spec.toml import Frozen

CARDS = Path(__file__).parents[1] / "datasets"

SILENT = {
    "name": "in the cell's key",
    "title": "for readers",
    "description": "for readers",
    "homepage": "for readers",
    "licence": "for readers",
    "citation": "for readers",
    "credits": "for readers",
    "anchors": "published accuracies, for readers",
    "default_domains": "which cells there are",
    "task_seed": "which classes a cell is about, which its key names",
    "expected": "what a copy is warned of",
    "columns": "names of a row's numbers, for readers",
    "sources": "where images come from; the dataset's fingerprint covers what came",
}
"""Fields of a card that decide no number of a cell, each with the reason."""


MOST_CLASSES = 2**15 - 1
"""Most classes of a dataset: labels are kept as int16."""

UNSAID = {"corrupted": [], "modality": "image", "metric": "accuracy"}
"""Fields that a digest leaves out with these values: they are younger than digests that stay the same."""


class SplitSpec(Frozen):
    """Shares of each class's groups for test and validation; the rest is for training (or adaptation)."""

    seed: int
    test: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)


class Expected(Frozen):
    """Numbers of images and groups of a complete copy."""

    images: int | dict[str, int] = Field(description="in every domain, or by domain")
    groups: int | None = Field(None, description="in every domain")
    per_class: int | dict[str, list[int]] | None = Field(
        None, description="images of each class in every domain, or by domain in the order of the classes"
    )


class Card(Frozen):
    """Card of a dataset: its domains, classes, split, sources of images and licence."""

    name: str
    title: str
    description: str
    homepage: str = ""
    licence: str
    citation: str = ""
    credits: dict[str, str] = Field({}, description="by domain: whose images, under which licence")
    anchors: str = Field("", description="file beside the card: accuracies that were published")
    domains: list[str] = Field(min_length=1)
    default_domains: list[str] = Field([], description="default: all of them")
    classes: list[str] = Field(
        min_length=2,
        max_length=MOST_CLASSES,
        description="in the order of which `classes = 20` takes the first",
    )
    modality: ModalityName = "image"
    metric: Metric = Field("accuracy", description="what its results are judged by")
    columns: list[str] = Field([], description="names of the numbers of a row, where they are known")
    fit: Fit = Field("pad", description="how images are made square")
    split: SplitSpec = SplitSpec(seed=2024, test=0.25, validation=0.15)
    task_seed: int = Field(0, description="decides which half of the classes the task kinds transfer to")
    expected: Expected | None = None
    sources: list[Annotated[Source, Field(discriminator="type")]] = Field(
        min_length=1, description="tried in order"
    )
    corrupted: list[Corrupted] = Field([], description="domains that are others with their images corrupted")
    notes: list[str] = Field([], description="what is said of a copy in warnings and records")

    @field_validator("anchors")
    @classmethod
    def _is_beside(cls, name: str) -> str:
        # A card that somebody sent names no file of yours.
        if name != Path(name).name:
            raise ValueError(f"'{name}' is no name of a file beside the card")
        return name

    @model_validator(mode="before")
    @classmethod
    def _has_corrupted_domains(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Add the corrupted domains to the others."""
        named = values.get("domains"), values.get("corrupted")
        if not all(isinstance(each, list) for each in named):
            return values
        tables = [Corrupted.model_validate(table) for table in values["corrupted"]]
        added = [each.name for table in tables for each in table.corruptions]
        return {**values, "domains": list(dict.fromkeys([*values["domains"], *added]))}

    @field_validator("domains")
    @classmethod
    def _are_no_other_words(cls, names: list[str]) -> list[str]:
        for name in names:
            if fault := domain_fault(name):
                raise ValueError(f"domain '{name}' {fault}: rename it")
        return names

    @model_validator(mode="after")
    def _corrupts_domains(self) -> Card:
        for each in self.corrupted:
            if each.of not in self.clean_domains:
                raise ValueError(
                    f"corrupted: no domain '{each.of}': {did_you_mean(each.of, self.clean_domains)}"
                )
        return self

    @model_validator(mode="after")
    def _domains_exist(self) -> Card:
        unknown = sorted(set(self.default_domains) - set(self.domains))
        if unknown:
            raise ValueError(f"default domain '{unknown[0]}' is not one of {', '.join(self.domains)}")
        return self

    @model_validator(mode="after")
    def _once(self) -> Card:
        for what, names in (("domain", self.domains), ("class", self.classes)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{what} '{twice[0]}' is named twice")
        return self

    @model_validator(mode="after")
    def _adds_up(self) -> Card:
        if self.expected is None:
            return self
        for counts in (self.expected.images, self.expected.per_class):
            unknown = sorted(set(counts) - set(self.domains)) if isinstance(counts, dict) else []
            if unknown:
                raise ValueError(f"expected domain '{unknown[0]}' is not one of {', '.join(self.domains)}")
        for domain in self.domains:
            images, classes = self.expected_images(domain), self.expected_classes(domain)
            if classes is not None and (len(classes), sum(classes)) != (len(self.classes), images):
                raise ValueError(
                    f"expected of {domain}: {sum(classes)} images in {len(classes)} classes, "
                    f"but {images} in {len(self.classes)}"
                )
        return self

    @property
    def digest(self) -> str:
        """Digest of the fields that decide numbers: all but `SILENT`."""
        nothing = {name for name, value in UNSAID.items() if getattr(self, name) == value}
        return combine(self.model_dump_json(exclude={*SILENT} | nothing))

    @property
    def kind(self) -> Modality:
        """Modality of its items."""
        return MODALITIES[self.modality]

    @property
    def clean_domains(self) -> list[str]:
        """Domains that have images of their own."""
        return [name for name in self.domains if name not in self.corruptions]

    @property
    def corruptions(self) -> dict[str, Corruption]:
        """Corruption of each domain that is another one's images corrupted."""
        return {each.name: each for table in self.corrupted for each in table.corruptions}

    @property
    def usual_domains(self) -> list[str]:
        """Domains of a suite that names none."""
        return self.default_domains or self.domains

    def check_domain(self, name: str) -> None:
        """Raise a `UserError` unless it is one of the domains; with what is said of it, if anything is."""
        if name not in self.domains:
            word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
            said = next((note for note in self.notes if word.search(note)), did_you_mean(name, self.domains))
            raise UserError(f"unknown domain of {self.name} '{name}': {said}")

    def expected_images(self, domain: str) -> int | None:
        """Number of images of a domain in a complete copy; None where the card does not say."""
        if self.expected is None:
            return None
        images = self.expected.images
        return images if isinstance(images, int) else images.get(domain)

    def expected_classes(self, domain: str) -> list[int] | None:
        """Number of images of each class of a domain in a complete copy; None where the card does not say."""
        per_class = self.expected.per_class if self.expected else None
        if isinstance(per_class, int):
            return [per_class] * len(self.classes)
        return per_class.get(domain) if per_class else None

    def task_split(self, classes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Split classes into disjoint (source, target) halves for the task kinds, seeded by `task_seed`.

        The side of a class does not depend on the other classes, except to make the halves even.
        """
        order = sorted(classes, key=lambda name: combine(str(self.task_seed), "task", name))
        old = set(order[: len(order) // 2])
        return tuple(c for c in classes if c in old), tuple(c for c in classes if c not in old)


def domain_fault(name: str) -> str | None:
    """Explain why a text cannot name a domain; None where it can."""
    if "→" in name:
        return "has an arrow in its name, as pairs of domains have in tables"
    if TOGETHER in name:
        return f"has '{TOGETHER}' in its name, as several domains have in tables"
    return "is what tables call a network without a source" if name == "pretrained" else None


@cache
def packaged(name: str) -> bool:
    """Return True if there is a card of that name in `datasets/`."""
    return (CARDS / f"{name}.toml").exists()


def own_name(place: Path) -> str:
    """Name the dataset of a folder or a table of own images: as the folder, unless a card has that name."""
    name = re.sub(r"[^a-z0-9]+", "-", place.resolve().stem.lower()).strip("-")[:60] or "own"
    return f"{name}-own" if packaged(name) else name
