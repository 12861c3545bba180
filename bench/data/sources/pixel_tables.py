"""Tables of small images inside pinned distributions, and images laid over photographs of others.

They are written once as a memory-mapped array each, as those of libraries are.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.packages import MOST_BYTES, Member, NotHere
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart, check_classes, keep_array, kept_part
from bench.spec.toml import Frozen

Images = tuple[np.ndarray, list[int]]
"""uint8 (N, S, S[, 3]), and the number of each image's class."""


class PixelTable(Frozen):
    """Domain: gzipped CSV without a header, the pixels of a square image a row and its class behind them."""

    domain: str
    side: int = Field(ge=1, le=512)
    brightest: int = Field(255, ge=1, description="value of white")
    member: Member

    def images(self, download: bool) -> Images:
        """Read the table."""
        content = self.member.read(download)
        try:
            with gzip.open(io.BytesIO(content)) as file:
                text = file.read(MOST_BYTES + 1)
            rows = np.loadtxt(io.StringIO(text.decode("ascii")), delimiter=",", dtype=np.float32, ndmin=2)
            pixels = rows[:, :-1].reshape(-1, self.side, self.side)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UserError(f"{self.member.path} is no table of images: {error}") from None
        scaled = np.round(pixels * (255 / self.brightest)).clip(0, 255).astype(np.uint8)
        return scaled, [int(label) for label in rows[:, -1]]


class Blend(Frozen):
    """Domain: each image of another as the absolute difference to a random patch of a photograph.

    Ganin et al. 2016, https://arxiv.org/abs/1505.07818, section 5.2.4. The patch depends on the seed and the
    image's number alone. Both images of a pair are one group.
    """

    domain: str
    of: str
    seed: int = Field(ge=0)
    photographs: list[Member] = Field(min_length=1)

    def images(self, below: Images, download: bool) -> Images:
        """Blend the images of the domain that it is made of."""
        photographs = [_photograph(member.read(download)) for member in self.photographs]
        images, labels = below
        blended = [
            np.abs(image[..., None].astype(np.int16) - self._patch(number, len(image), photographs))
            for number, image in enumerate(images)
        ]
        return np.stack(blended).astype(np.uint8), labels

    def _patch(self, number: int, side: int, photographs: Sequence[np.ndarray]) -> np.ndarray:
        random = np.random.default_rng([self.seed, number])
        photograph = photographs[int(random.integers(len(photographs)))]
        top, left = (random.integers(length - side + 1) for length in photograph.shape[:2])
        return photograph[top : top + side, left : left + side]


def _photograph(content: bytes) -> np.ndarray:
    """Decode a photograph to uint8 (H, W, 3)."""
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        return np.asarray(image.convert("RGB"))


class PixelTables(Frozen):
    """Domains out of tables of pixels, and blends of them; classes are the card's, by their numbers."""

    type: Literal["pixel-tables"]
    tables: list[PixelTable] = Field(min_length=1)
    blends: list[Blend] = []
    megabytes: int = Field(description="size of the download, for messages")

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is read from the distributions, or fetched."""
        kept: dict[str, KeptPart] = {}
        try:
            for domain in self._domains:
                kept[domain] = self._keep(domain, request)
        except NotHere as reason:
            raise Absent(str(reason)) from None
        origins = {blend.domain: blend.of for blend in self.blends}
        items = {
            domain: _items(origins.get(domain, domain), part, request.classes)
            for domain, part in kept.items()
        }

        def whole() -> layouts.Items:
            for domain in kept:
                self._keep(domain, request, read=True)
            return items

        return Listing(self.title, combine(self.model_dump_json(), layouts.digest_of(items)), whole)

    @property
    def title(self) -> str:
        """Name the distributions."""
        members = [table.member for table in self.tables]
        members += [member for blend in self.blends for member in blend.photographs]
        return "packages " + ", ".join(dict.fromkeys(member.distribution for member in members))

    @property
    def _domains(self) -> list[str]:
        """Domains, those that are made of others after these."""
        return [*(table.domain for table in self.tables), *(blend.domain for blend in self.blends)]

    def _keep(self, domain: str, request: SourceRequest, read: bool = False) -> KeptPart:
        """Find a domain's images in the cache, or make them; see `kept_part`."""
        tables = {table.domain: table for table in self.tables}
        blend = next((blend for blend in self.blends if blend.domain == domain), None)
        table = tables[blend.of if blend else domain]

        def make(array: Path) -> KeptPart:
            if not blend:
                images, labels = table.images(request.download)
            else:
                below = self._keep(blend.of, request, read=True)
                plain = np.load(below.array, allow_pickle=False)
                images, labels = blend.images((plain, below.labels), request.download)
            return keep_array(array, images, labels, [])

        key = combine(*([blend.model_dump_json()] if blend else []), table.model_dump_json())
        kept = kept_part(key, make, read, KeptPart)
        check_classes(domain, kept, request.classes)
        return kept


def _items(thing: str, part: KeptPart, classes: Sequence[str]) -> list[Item]:
    """Items of a domain, named and grouped by the images that they are made of."""
    found = []
    for path, row, label in part.images():
        name = f"{thing}-{row:05}"
        found.append(Item(name, classes[label], name, path, row))
    return found
