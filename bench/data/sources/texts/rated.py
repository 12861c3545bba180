"""Texts of pinned distributions, rated by people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, FiniteFloat

from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.texts.kept import Text, kept_listing
from bench.spec.toml import Frozen


class RatedTable(Frozen):
    """Domain: lines of tab-separated cells without a header: identity, mean rating, text.

    What is before `_` in an identity names what the text is a part of: its group.
    """

    domain: str
    member: Member

    def texts(self, bands: dict[str, tuple[FiniteFloat, FiniteFloat]], download: bool) -> Iterator[Text]:
        """Read the texts whose rating is within a class's band, without its ends."""
        content = self.member.read(download)
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            cells = line.split("\t", 2)
            try:
                identity, rating, text = cells[0], float(cells[1]), cells[2].strip()
            except (IndexError, ValueError):
                raise UserError(f"{self.member.path}, line {number}: no identity, rating and text") from None
            for label, (low, high) in bands.items():
                if low < rating < high and text:
                    yield Text(self.domain, label, f"{self.domain} {identity.partition('_')[0]}", "", text)


class RatedTexts(Frozen):
    """Domains of texts that people have rated; a class is a range of ratings."""

    type: Literal["rated-texts"]
    tables: list[RatedTable] = Field(min_length=1)
    bands: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        min_length=2, description="by class: lowest and highest rating, both left out"
    )
    megabytes: int = Field(description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the distributions."""
        return "packages " + ", ".join(dict.fromkeys(table.member.distribution for table in self.tables))

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is read from the distributions, or fetched."""

        def texts() -> Iterator[Text]:
            for table in self.tables:
                yield from table.texts(self.bands, request.download)

        return kept_listing(self.title, self.model_dump_json(exclude={"megabytes"}), texts, request)
