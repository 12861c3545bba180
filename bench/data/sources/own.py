"""One's own images: a folder or a table, whose names of domains and classes hold exactly as they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

from bench.data.sources import layouts
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.folder import Folder
from bench.data.sources.item import Item
from bench.data.sources.manifest import Manifest
from bench.data.sources.tree import read_tree
from bench.spec.toml import Frozen


class OwnFolder(Frozen):
    """Folder of one's own images; with a card it may also hold lists of files or parquet shards."""

    type: Literal["own-folder"]
    path: str

    def listing(self, request: SourceRequest) -> Listing:
        """List the images of the card's domains and classes."""
        root = Path(self.path)
        tree = read_tree(root)
        alone = request.domains[0] if tree.flat and len(request.domains) == 1 else ""
        items: layouts.Items = defaultdict(list)
        for image in tree.images:
            domain = alone or image.domain
            if domain in request.domains and image.label in request.classes:
                items[domain].append(Item("", image.label, "", image.path, split=image.split))
        if not items:
            return Folder(type="folder", path=self.path).listing(request)
        missing = [f"no images of domain {d} in {root.name}" for d in request.domains if d not in items]
        return Listing(f"folder {root.name}", layouts.digest_of(items), lambda: dict(items), tuple(missing))


class OwnTable(Frozen):
    """Table of one's own images; its card names the classes that are left out."""

    type: Literal["own-table"]
    path: str

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        return replace(Manifest(type="manifest", path=self.path).listing(request), warnings=())
