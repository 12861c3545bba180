"""Features that a cell kept beside its predictions (see `bench.records.record`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.records.record import Predictions, Record
from bench.records.store import Store

ROLES = ("source", "target")
WHEN = ("before", "after")


@dataclass(frozen=True)
class Kept:
    """Where a cell's features are, to be read when they are drawn: there may be many."""

    store: Store
    record: Record

    @staticmethod
    def of(store: Store, record: Record, predictions: Predictions) -> Kept | None:
        """None where a cell kept none."""
        return Kept(store, record) if "features/target/labels" in predictions else None

    def load(self) -> Images:
        """Read them.

        Raises:
            OSError: the file is damaged or gone.
            ValueError: what is in it does not belong together, or is not finite.
        """
        found, scenario = self.store.predictions(self.record), self.record.request.cell.scenario
        names = {"source": scenario.source_classes, "target": scenario.target_classes}
        roles = [role for role in ROLES if f"features/{role}/labels" in found]
        try:
            features = {
                when: np.concatenate([found[f"features/{when}/{role}"] for role in roles]) for when in WHEN
            }
            labels = {role: found[f"features/{role}/labels"] for role in roles}
            groups = np.concatenate([found[f"features/{role}/groups"] for role in roles])
            classes = np.concatenate([np.array(names[role])[labels[role]] for role in roles])
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"its features do not belong together: {error}") from None
        is_source = np.repeat([role == "source" for role in roles], [len(labels[role]) for role in roles])
        for values in features.values():
            if values.ndim != 2 or len(values) != len(classes) or len(groups) != len(classes):
                raise ValueError("its features do not belong together")
            if not np.isfinite(values).all():
                raise ValueError("its features are not finite")
        return Images(features, classes, is_source, groups)


@dataclass(frozen=True)
class Images:
    """Test images of both domains: features (N, D) before and after, class names, domain, groups: (N,)."""

    features: Mapping[str, np.ndarray]
    classes: np.ndarray
    is_source: np.ndarray
    groups: np.ndarray
