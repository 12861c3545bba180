"""Index of the images of a copy, kept as a small file so that a warm start reads no image.

An image is identified by its content. Where a dataset gives its images no names and groups, the content is
both: so the same images as a folder and as parquet shards are the same dataset, in the same order, and
copies of one image, in whatever domain, are one group.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.core.components import unite
from bench.core.digest import code_digest, combine, seal, unseal
from bench.core.files import write_atomically
from bench.core.paths import cache_part, writing_to_cache
from bench.data.card import CARDS, Card
from bench.data.decoders import DECODERS
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.encoded import digest as content_digest
from bench.data.sources.encoded import encoded_images
from bench.data.sources.item import Item
from bench.processes.pool import in_threads

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total) while long work goes on."""


class Row(NamedTuple):
    """Index entry of an image."""

    name: str
    label: str
    group: str
    path: str
    row: int | None
    split: str
    digest: str


@dataclass(frozen=True)
class Index:
    """Index of a copy: its origin, its warnings, and its images by domain."""

    origin: str
    warnings: tuple[str, ...]
    domains: dict[str, list[Row]]


def find(card: Card, download: bool = True) -> Listing:
    """Ask the card's sources in order, and return the listing of the first that has a copy.

    Raises:
        UserError: none has one; the message says how to get one.
    """
    request = SourceRequest(card.name, tuple(card.clean_domains), tuple(card.classes), CARDS, download)
    reasons = []
    for source in card.sources:
        try:
            return source.listing(request)
        except Absent as reason:
            reasons.append(str(reason))
    if len(card.sources) == 1 and card.sources[0].type != "folder":
        raise Absent(reasons[0])
    raise Absent(
        f"no copy of {card.name} ({'; '.join(reasons)}). Give the folder of yours (--data-root DIR), or "
        f"fetch it (python -m bench data fetch {card.name}), or unpack an archive from {card.homepage} "
        f"(python -m bench data fetch {card.name} --archive FILE). "
        "Meanwhile: python -m bench run --suite quick"
    )


def read_index(card: Card, progress: Progress, download: bool = True) -> Index:
    """List a dataset's images, from the kept index where one matches the card, the code and the copy."""
    listing = find(card, download)
    key = combine(
        listing.digest,
        *card.clean_domains,
        *card.classes,
        code_digest("data/sources/**/*.py", "core/components.py", "data/index.py"),
    )
    path = cache_part("index") / f"{card.name}-{key}.json"
    try:
        domains = _rows(json.loads(unseal(path.read_bytes())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        domains = _identify(card, listing.items(), progress)
        with writing_to_cache():
            write_atomically(path, seal(json.dumps({"domains": domains}).encode()))
    return Index(listing.origin, listing.warnings, domains)


def _rows(kept: Any) -> dict[str, list[Row]]:
    return {domain: [Row(*row) for row in rows] for domain, rows in kept["domains"].items()}


def _identify(card: Card, items: dict[str, list[Item]], progress: Progress) -> dict[str, list[Row]]:
    """Hash every image, and identify it by its content where its source gives it no name."""
    listed = [(domain, item) for domain, found in items.items() for item in found]
    digests = [""] * len(listed)
    work = encoded_images(((item.path, item.row) for _, item in listed))
    hashed = in_threads(lambda job: (job[0], content_digest(job[1])), work)
    for done, (place, digest) in enumerate(hashed, 1):
        digests[place] = digest
        progress(f"read {card.name}", done, len(listed))
    united = unite(
        [f"group {item.group}", f"content {digest}"] if item.group else [f"content {digest}"]
        for (_, item), digest in zip(listed, digests, strict=True)
        if not item.name
    )
    rows: dict[str, list[Row]] = {domain: [] for domain in card.domains if domain in items}
    for (domain, item), digest in zip(listed, digests, strict=True):
        own = Row(item.name, item.label, item.group, str(item.path), item.row, item.split, digest)
        if not item.name:
            own = own._replace(name=digest, group=united[f"content {digest}"])
        rows[domain].append(own)
    order = {name: place for place, name in enumerate(card.classes)}
    return {
        domain: sorted(found, key=lambda r: (order.get(r.label, -1), r.digest, r.split, r.path, r.row or 0))
        if any(not item.name for item in items[domain])
        else found
        for domain, found in rows.items()
    }


def bad_images(modality: str) -> dict[str, str]:
    """Return the digests of items whose content cannot be decoded, with reasons."""
    try:
        reasons: dict[str, str] = json.loads(unseal(_bad_path(modality).read_bytes()))
        return reasons
    except (OSError, ValueError):
        return {}


def remember_bad(reasons: dict[str, str], modality: str) -> None:
    """Add to `bad_images`."""
    from filelock import FileLock

    path = _bad_path(modality)
    with writing_to_cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            content = json.dumps({**bad_images(modality), **reasons}, sort_keys=True)
            write_atomically(path, seal(content.encode()))


def _bad_path(modality: str) -> Path:
    return cache_part("unreadable") / f"{DECODERS[modality].digest}.json"
