"""Sequences of letters inside pinned distributions: peptides, with what is known of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import islice
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart
from bench.data.sources.tabular.kept import Labelled, kept_listing
from bench.spec.toml import Frozen

Sequences = list[tuple[str, int]]
"""Sequences, and the numbers of their classes."""

LONGEST = 4096
"""Most letters of a sequence that are read."""


class SequenceTable(Frozen):
    """Domain: lines of a CSV behind its first, or those of them that have some text in some column."""

    domain: str
    member: Member
    sequence: int = Field(0, ge=0, description="number of the column of sequences")
    label: int = Field(1, ge=0, description="number of the column of labels")
    values: dict[str, str] = Field({}, description="class by what the column of labels holds")
    bands: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        {}, description="class by the number in the column of labels: above the one, up to the other"
    )
    only: dict[int, str] = Field({}, description="by number of a column: text that a line has there")

    @model_validator(mode="after")
    def _tells_classes(self) -> SequenceTable:
        if bool(self.values) == bool(self.bands):
            raise ValueError(f"{self.domain}: give either `values` or `bands`")
        return self

    def read(self, lines: Callable[[Member], list[list[str]]], classes: tuple[str, ...]) -> Sequences:
        """Sequences of the domain, each once: of one that has several labels, the first counts.

        Raises:
            UserError: a line lacks a column, or has a label that is no number where one is needed.
        """
        found: dict[str, int] = {}
        for number, cells in enumerate(lines(self.member), 2):
            try:
                if any(cells[place] != text for place, text in self.only.items()):
                    continue
                name = self._class(cells[self.label].strip())
                sequence = cells[self.sequence].strip()[:LONGEST].encode("ascii").decode()
            except (IndexError, ValueError):
                raise UserError(f"{self.member.path}, line {number}: no sequence and label") from None
            if name and sequence:
                found.setdefault(sequence, classes.index(name))
        return [*found.items()]

    def _class(self, text: str) -> str | None:
        if self.values:
            return self.values.get(text)
        value = float(text)
        return next((name for name, (low, high) in self.bands.items() if low < value <= high), None)


class PackageSequences(Frozen):
    """Domains out of tables of sequences. Equal sequences are one group, in whatever domain."""

    type: Literal["package-sequences"]
    tables: list[SequenceTable] = Field(min_length=1)
    megabytes: int = Field(description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the distributions."""
        return "packages " + ", ".join(dict.fromkeys(table.member.distribution for table in self.tables))

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is read from the distributions, or fetched."""
        lines = cache(partial(_lines, download=request.download))
        read = cache(lambda: {each.domain: each.read(lines, request.classes) for each in self.tables})
        key = combine(self.model_dump_json(exclude={"megabytes"}), *request.classes)
        domains = [table.domain for table in self.tables]
        return kept_listing(self.title, key, domains, partial(_array, read), partial(_items, request.classes))


def _lines(member: Member, download: bool) -> list[list[str]]:
    """Cells of a table's lines behind the first."""
    text = member.read(download).decode("utf-8", "replace")
    return [cells for cells in islice(csv.reader(io.StringIO(text)), 1, None) if cells]


def _array(read: Callable[[], dict[str, Sequences]], domain: str) -> Labelled:
    """Sequences of a domain as uint8 (N, longest of all domains), ASCII with zeros behind, and classes."""
    found = read()
    longest = max(len(sequence) for each in found.values() for sequence, _ in each)
    sequences = [sequence.ljust(longest, "\0").encode("ascii") for sequence, _ in found[domain]]
    array = np.frombuffer(b"".join(sequences), dtype=np.uint8).reshape(-1, longest)
    return array, [label for _, label in found[domain]]


def _items(classes: Sequence[str], domain: str, part: KeptPart) -> list[Item]:
    return [Item("", classes[label], "", path, row) for path, row, label in part.images()]
