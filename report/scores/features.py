"""Features that a cell kept beside its predictions (see `bench.records.record`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.records.record import Predictions, Record
from bench.records.store import Store

DOMAINS = ("source", "target")
TIMES = ("before", "after")


@dataclass(frozen=True)
class StoredFeatures:
    """Features of a cell on disk, to be read when they are drawn: there may be many."""

    store: Store
    record: Record

    @staticmethod
    def of(store: Store, record: Record, predictions: Predictions) -> StoredFeatures | None:
        """Reference to the features of a record; None where the cell kept none."""
        return StoredFeatures(store, record) if "features/target/labels" in predictions else None

    def load(self) -> ImageFeatures:
        """Read the features.

        Raises:
            OSError: the file is damaged or gone.
            ValueError: what is in it does not belong together, or is not finite.
        """
        stored, scenario = self.store.predictions(self.record), self.record.request.cell.scenario
        names = {"source": scenario.source_classes, "target": scenario.target_names}
        domains = [domain for domain in DOMAINS if f"features/{domain}/labels" in stored]
        try:
            features = {
                time: np.concatenate([stored[f"features/{time}/{domain}"] for domain in domains])
                for time in TIMES
            }
            labels = {domain: stored[f"features/{domain}/labels"] for domain in domains}
            groups = np.concatenate([stored[f"features/{domain}/groups"] for domain in domains])
            classes = np.concatenate([np.array(names[domain])[labels[domain]] for domain in domains])
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"its features do not belong together: {error}") from None
        is_source = np.repeat(
            [domain == "source" for domain in domains], [len(labels[domain]) for domain in domains]
        )
        for values in features.values():
            if values.ndim != 2 or len(values) != len(classes) or len(groups) != len(classes):
                raise ValueError("its features do not belong together")
            if not np.isfinite(values).all():
                raise ValueError("its features are not finite")
        return ImageFeatures(features, classes, is_source, groups)


@dataclass(frozen=True)
class ImageFeatures:
    """Test images of both domains: features (N, D) before and after, class names, domain, groups: (N,)."""

    features: Mapping[str, np.ndarray]
    classes: np.ndarray
    is_source: np.ndarray
    groups: np.ndarray
