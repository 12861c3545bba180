"""Own images of the user: a folder `<domain>/<class>/*`, or a table of paths, without a card."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

from bench.core.errors import UserError
from bench.data.card import Card, own_name
from bench.data.sources.folder import Folder
from bench.data.sources.layouts import image_files, subfolders
from bench.data.sources.manifest import Manifest, read_manifest
from bench.spec.toml import read_toml

CARD = "card.toml"
"""Name of a card in the folder itself, which then holds."""

LEAST = 3
"""Smallest number of images of a class in every domain: one each for training, validation and test."""

TABLES = (".csv", ".parquet")


@lru_cache(maxsize=4)
def own_card(place: Path) -> Card:
    """Make a card for a folder or a table.

    Raises:
        UserError: it does not exist, holds no images, or fewer than two classes are in every domain.
    """
    if place.suffix.lower() in TABLES and place.is_file():
        counts = Counter((row["domain"], row["label"]) for row in read_manifest(place))
        return _card(place, counts, Manifest(type="manifest", path=str(place.resolve())))
    if not place.is_dir():
        raise UserError(
            f"no folder or table at '{place}': --data takes a folder with <domain>/<class>/<images>, "
            "or a .csv or .parquet with the columns path, domain, label"
        )
    source = Folder(type="folder", path=str(place.resolve()))
    if (place / CARD).is_file():
        card = Card(**{"name": own_name(place), **read_toml(place / CARD, Card)})
        return card.model_copy(update={"name": own_name(place), "sources": [source]})
    return _card(place, _count(place), source)


def _count(place: Path) -> Counter[tuple[str, str]]:
    """Count images by (domain, class); a folder of classes with images right in them is one domain."""
    inside = subfolders(place)
    flat = any(next(_own_files(folder), None) for folder in inside)
    domains = [place] if flat else inside
    counts = Counter(
        {
            (domain.name, label.name): sum(1 for _ in image_files(label))
            for domain in domains
            for label in subfolders(domain)
        }
    )
    return +counts


def _own_files(folder: Path) -> filter[Path]:
    return filter(lambda path: path.parent == folder, image_files(folder))


def _card(place: Path, counts: Counter[tuple[str, str]], source: Folder | Manifest) -> Card:
    domains = sorted({domain for domain, _ in counts})
    labels = sorted({label for _, label in counts})
    shared = [label for label in labels if all(counts[domain, label] >= LEAST for domain in domains)]
    if not counts:
        raise UserError(f"no images in '{place}': it takes folders <domain>/<class>/<images>")
    if len(shared) < 2:
        raise UserError(
            f"'{place}' has {len(labels)} classes in {len(domains)} domains ({', '.join(domains[:5])}), but "
            f"{len(shared)} with {LEAST} images or more in every domain: 2 are needed"
        )
    left_out = [label for label in labels if label not in shared]
    note = f" Left out for want of images in some domain: {', '.join(left_out)}." if left_out else ""
    sizes = {label: sum(counts[domain, label] for domain in domains) for label in shared}
    return Card(
        name=own_name(place),
        title=f"Own images: {place.resolve().name}",
        description=f"{len(shared)} classes in {len(domains)} domains.{note}",
        licence="yours",
        domains=domains,
        classes=sorted(shared, key=lambda label: (-sizes[label], label)),
        fit="crop",
        sources=[source],
    )
