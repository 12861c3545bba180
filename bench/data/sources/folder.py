"""Folders of images: a copy of a dataset in any of its common layouts, and one's own images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.core.paths import data_roots
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest, normalised
from bench.data.sources.item import Item
from bench.data.sources.tree import read_tree
from bench.spec.toml import Frozen


class Folder(Frozen):
    """Folder below `$BENCH_DATA` (`--data-root`) or among those that `bench data fetch` unpacked.

    Layouts are tried in this order: lists of files (`image_list/*.txt`), folders of classes, parquet shards.
    """

    type: Literal["folder"]
    names: list[str] = Field([], description="what the folder may be called, beside the card's name")
    path: str = Field("", description="exactly this folder, for cards of one's own images")
    official_lists: bool = Field(False, description="`<domain>_train.txt` and `_test.txt` are the split")
    domain: str = Field("domain", description="column of parquet shards; empty where there is one domain")
    label: str = Field("label", description="column of parquet shards")

    def listing(self, request: SourceRequest) -> Listing:
        """List the first folder that holds the dataset."""
        reason = ""
        for folder in self._candidates(request):
            try:
                items, warnings = self._items(folder, request)
            except UserError as error:
                if self.path or normalised(folder.name) in self._known(request):
                    raise
                # Probably a folder of something else.
                reason = f" ({error})"
                continue
            if items:
                missing = [
                    f"no images of domain {d} in {folder.name}" for d in request.domains if d not in items
                ]
                return Listing(
                    f"folder {folder.name}",
                    layouts.digest_of(items),
                    lambda items=items: items,  # type: ignore[misc]
                    (*warnings, *missing),
                )
        if self.path:
            raise Absent(f"no images of {request.name} in {self.path}")
        if not (roots := data_roots()):
            raise Absent("no folder was named")
        known = ", ".join(f"'{name}'" for name in (request.name, *self.names))
        domains = layouts.few([f"'{name}'" for name in request.domains])
        where = ", ".join(map(str, roots))
        raise Absent(
            f"no images of {request.name} in {where}{reason}: folders called {known} are "
            f"looked for at most two levels below, and folders of its domains ({domains}) right in it"
        )

    def _known(self, request: SourceRequest) -> set[str]:
        return {normalised(name) for name in (request.name, *self.names)}

    def _candidates(self, request: SourceRequest) -> Iterator[Path]:
        """List folders of a known name, at most two levels below a root; then the roots themselves."""
        if self.path:
            yield Path(self.path)
            return
        for root in data_roots():
            below = layouts.subfolders(root)
            inside = [deeper for folder in below for deeper in layouts.subfolders(folder)]
            # Deepest first: an archive's own folder is often in one of the dataset's name.
            found = [
                path for path in (*inside, *below, root) if normalised(path.name) in self._known(request)
            ]
            yield from found
            if root not in found:
                yield root

    def _items(self, folder: Path, request: SourceRequest) -> tuple[layouts.Items, list[str]]:
        if listed := layouts.image_lists(folder, request, self.official_lists):
            return listed, []
        items, warnings = layouts.class_folders(folder, request)
        if items:
            return items, warnings
        found = (*folder.glob("*.parquet"), *folder.glob("data/*.parquet"))
        files = sorted(path for path in found if path.is_file())
        columns = {"domain": self.domain, "label": self.label}
        return (layouts.shards(files, request, columns), []) if files else ({}, [])


class OwnFolder(Frozen):
    """Folder of one's own images, whose names of domains and classes hold exactly as they are.

    With a card it may also hold lists of files or parquet shards.
    """

    type: Literal["own-folder"]
    path: str
    modality: Literal["image", "audio"] = Field("image", description="what its files are")

    def listing(self, request: SourceRequest) -> Listing:
        """List the images of the card's domains and classes."""
        root = Path(self.path)
        tree = read_tree(root, self.modality)
        alone = request.domains[0] if tree.flat and len(request.domains) == 1 else ""
        items: layouts.Items = defaultdict(list)
        for image in tree.images:
            domain = alone or image.domain
            if domain in request.domains and image.label in request.classes:
                items[domain].append(Item("", image.label, "", image.path, split=image.split))
        if not items and self.modality == "image":
            return Folder(type="folder", path=self.path).listing(request)
        if not items:
            raise Absent(f"no recordings of {request.name} in {self.path}")
        what = MODALITIES[self.modality].items
        missing = [f"no {what} of domain {d} in {root.name}" for d in request.domains if d not in items]
        return Listing(f"folder {root.name}", layouts.digest_of(items), lambda: dict(items), tuple(missing))
