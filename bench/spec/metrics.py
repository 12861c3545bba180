"""Metrics that results are judged by, by the names that cards and cells hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from bench.core.errors import did_you_mean

METRICS = {
    "accuracy": "share of items whose highest score is their class's",
    "balanced-accuracy": "mean over classes of the accuracy on each one's items",
    "auc": "share of pairs of an item of a class and one of no such class that are scored in this order",
}
"""Metrics by name, and what each is."""


def _is_a_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"there is no metric '{name}': {did_you_mean(name, METRICS)}")
    return name


Metric = Annotated[str, AfterValidator(_is_a_metric)]
