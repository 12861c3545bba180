"""Words for what results are of: the items of their modality, and the metric that they are judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import pandas as pd

from bench.core.modalities import MODALITIES
from bench.spec.cell import Cell

ABBREVIATIONS = {"auc": "AUC"}
"""Metrics whose name is written otherwise than as words."""


@dataclass(frozen=True)
class Words:
    """Nouns that texts about results use; capitalised for the beginning of a sentence."""

    item: str = "image"
    items: str = "images"
    metric: str = "accuracy"

    @classmethod
    def of(cls, modalities: Iterable[str], metrics: Iterable[str]) -> Words:
        """Words for cells of these; general ones where there are several, those of images where none."""
        kinds, measures = {*modalities}, {*metrics}
        one = MODALITIES[kinds.pop()] if len(kinds) == 1 else None
        item, items = (one.item, one.items) if one else ("item", "items") if kinds else ("image", "images")
        return cls(item, items, "score" if len(measures) > 1 else metric_name(*measures))

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Words:
        """Words for the cells of a frame (`scores.frame.load_frame`)."""
        return cls.of(frame["modality"].dropna().unique(), frame["metric"].dropna().unique())

    @classmethod
    def of_cell(cls, cell: Cell) -> Words:
        """Words for one cell."""
        return _of(cell.modality, cell.metric)

    @property
    def Metric(self) -> str:
        """Metric at the beginning of a sentence."""
        return first_upper(self.metric)

    @property
    def Items(self) -> str:
        """Items at the beginning of a sentence."""
        return first_upper(self.items)

    @property
    def an_item(self) -> str:
        """One item, with its article."""
        return with_article(self.item)

    @property
    def a_metric(self) -> str:
        """Metric, with its article."""
        return with_article(self.metric)

    @property
    def most(self) -> str:
        """What the first of a ranking is or has."""
        return "most accurate" if self.metric == "accuracy" else f"highest {self.metric}"

    @property
    def more(self) -> str:
        """What is better than another, as `more accurate`."""
        return "more accurate" if self.metric == "accuracy" else f"of higher {self.metric}"

    def fill(self, text: str) -> str:
        """Text in which `{item}`, `{items}`, `{Items}`, `{metric}`, `{Metric}`, `{most}` stand for words."""
        names = {"item": self.item, "items": self.items, "Items": self.Items, "most": self.most}
        return text.format(**names, metric=self.metric, Metric=self.Metric)


@cache
def _of(modality: str, metric: str) -> Words:
    return Words.of([modality], [metric])


def metric_name(metric: str = "accuracy") -> str:
    """Name of a metric in texts, as `AUC` or `balanced accuracy`."""
    return ABBREVIATIONS.get(metric, metric.replace("-", " "))


def with_article(noun: str) -> str:
    """Noun with its indefinite article."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def first_upper(text: str) -> str:
    """Text that begins with a capital letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]
