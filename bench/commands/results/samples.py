"""Sample items for a report, out of the cache of decoded ones; nothing is decoded or fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.core.errors import UserError
from bench.data.catalog import card_names, load_card
from bench.data.dataset import Dataset, open_dataset
from bench.report.render.samples import Samples
from bench.spec.cell import Cell

SHOWN = 10
"""Classes of each domain in the rows of samples."""


@dataclass(frozen=True)
class DomainItems:
    """Decoded items of one domain, and the class of each."""

    dataset: Dataset
    domain: str
    decoded: np.ndarray

    def first(self, name: str) -> np.ndarray | str | None:
        """First item of a class as a person looks at it, a picture or a text; None if there is none."""
        classes = self.dataset.card.classes
        if name not in classes:
            return None
        rows = np.flatnonzero(self.dataset.domains[self.domain].labels == classes.index(name))
        show = self.dataset.decoder.show
        return show(self.decoded[rows[0]]) if show and len(rows) else None


def samples(cells: Iterable[Cell]) -> Samples:
    """Collect items of the same classes in every domain of the cells, and find a picture of any class."""
    domains: list[DomainItems] = []
    images: dict[str, list[tuple[str, np.ndarray | str]]] = {}
    credits: dict[str, str] = {}
    opened = cache(_opened)
    for (name, domain, size), classes in sorted(_wanted(cells).items()):
        decoded = _cached_items(opened(name), domain, size)
        if decoded is None:
            continue
        domains.append(decoded)
        for label in classes[:SHOWN]:
            image = decoded.first(label)
            if image is not None:
                images.setdefault(domain, []).append((label, image))
        card = decoded.dataset.card
        credits[domain] = card.credits.get(domain, card.licence.strip())

    def find(name: str) -> np.ndarray | None:
        found = (decoded.first(name) for decoded in domains)
        return next((image for image in found if isinstance(image, np.ndarray)), None)

    return Samples(images, credits, find)


def _wanted(cells: Iterable[Cell]) -> dict[tuple[str, str, int], tuple[str, ...]]:
    """Classes by dataset, domain and image size."""
    return {
        (scenario.dataset, domain, cell.image_size): scenario.target_classes
        for cell in cells
        for scenario in [cell.scenario]
        for domain in scenario.domains
    }


def _opened(name: str) -> Dataset | None:
    if name not in card_names():
        return None
    try:
        return open_dataset(load_card(name), download=False)
    except UserError:
        return None


def _cached_items(dataset: Dataset | None, domain: str, size: int) -> DomainItems | None:
    if not dataset or domain not in dataset.domains or not dataset.decoded_path(domain, size).exists():
        return None
    return DomainItems(dataset, domain, dataset.decoded(domain, size))
