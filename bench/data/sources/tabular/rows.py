"""Rows of a table inside a pinned distribution: people, say, of whom two may be alike in every column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from bench.core.digest import combine
from bench.core.packages import Member
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart
from bench.data.sources.tabular.columns import column, numbers, read_csv
from bench.data.sources.tabular.kept import Labelled, kept_listing
from bench.spec.toml import Frozen


class Bands(Frozen):
    """Domains of rows by a column of numbers, which is no feature then."""

    column: str
    bands: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        min_length=1, description="by domain: above the one, up to the other"
    )


class PackageRows(Frozen):
    """Rows of a CSV with a header. Each is an item, and a group, of its own by its number."""

    type: Literal["package-rows"]
    member: Member
    label: str = Field(description="column of the labels")
    values: dict[str, str] = Field(min_length=2, description="class by what the column of labels holds")
    domains: Bands
    leave_out: list[str] = Field([], description="columns that are no features")
    megabytes: int = Field(description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the distribution."""
        return f"package {self.member.distribution}"

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is read from the distribution, or fetched."""
        read = cache(partial(self._read, request))
        key = combine(self.model_dump_json(exclude={"megabytes"}), *request.classes)

        def make(domain: str) -> Labelled:
            features, where, labels = read()
            above, most = self.domains.bands[domain]
            rows = (where > above) & (where <= most) & (labels >= 0)
            return features[rows], labels[rows].tolist()

        return kept_listing(self.title, key, self.domains.bands, make, partial(_items, request.classes))

    def _read(self, request: SourceRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features (N, F), values of the column of domains (N,), and numbers of classes (N,), -1 for none."""
        table = read_csv(self.member.read(request.download), self.member.path)
        apart = {self.label, self.domains.column, *self.leave_out}
        features, _ = numbers(table, [name for name in table.column_names if name not in apart])
        where, _ = numbers(table, [self.domains.column])
        places = {text: request.classes.index(name) for text, name in self.values.items()}
        labels = [places.get(str(value), -1) for value in column(table, self.label).to_pylist()]
        return features, where[:, 0], np.array(labels)


def _items(classes: Sequence[str], domain: str, part: KeptPart) -> list[Item]:
    """Rows of a domain, named and grouped by their numbers: equal ones are different things."""
    return [
        Item(name := f"{domain}-{row}", classes[label], name, path, row) for path, row, label in part.images()
    ]
