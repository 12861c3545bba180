"""Datasets of Python libraries: torchvision, MedMNIST, scikit-learn.

File-based ones keep their files. Those that come as arrays are written once as a memory-mapped array each,
so that no later start needs the library.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import logging
import os
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from bench.core.digest import code_digest, combine, seal, unseal
from bench.core.errors import UserError
from bench.core.files import atomic_file, write_atomically
from bench.core.paths import cache_part, data_roots, writing_to_cache
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest, normalised
from bench.data.sources.item import Item
from bench.spec.toml import Frozen

LOG = logging.getLogger(__name__)

CODE = ("data/sources/library.py", "data/sources/pixel_tables.py")
"""Code that decides what is kept: other code, other arrays."""

FILES = ("_image_files", "_images", "samples")
"""Attributes in which torchvision's file-based datasets keep their paths."""


class LibraryPart(Frozen):
    """Call of a library that gives a domain's training or test images."""

    domain: str
    call: str = Field(description="name of the class or function")
    split: Literal["", "train", "validation", "test"] = ""
    arguments: dict[str, bool | int | str] = {}
    module: str = "torchvision.datasets"

    @property
    def key(self) -> str:
        """Digest that names its files in the cache."""
        return combine(self.model_dump_json())


class KeptPart(Frozen):
    """Note in the cache of a part's images: paths of files, or the path of one array (images, H, W[, C])."""

    labels: list[int]
    classes: list[str]
    """Names of the classes by the labels' numbers; empty where its origin names none."""
    files: list[str] = []
    array: str = ""
    """Path of a file of all items: an array, or a table of texts."""
    sha256: str = ""
    """Of that file."""

    @property
    def there(self) -> bool:
        """Return True if the images are where they were."""
        return Path(self.array or self.files[0]).exists()

    @property
    def whole(self) -> bool:
        """Return True if the array is what was written; what is in other files is not kept here."""
        if not self.array:
            return True
        return sha256_of(Path(self.array)) == self.sha256

    def images(self) -> Iterator[tuple[Path, int | None, int]]:
        """Iterate over (path, row in the array, label)."""
        if self.array:
            yield from ((Path(self.array), row, label) for row, label in enumerate(self.labels))
        else:
            yield from (
                (Path(path), None, label) for path, label in zip(self.files, self.labels, strict=True)
            )


Part = TypeVar("Part", bound=KeptPart)


class Library(Frozen):
    """Parts of a library's datasets; the label's number is the class's place in the card."""

    type: Literal["library"]
    parts: list[LibraryPart] = Field(min_length=1)
    megabytes: int = Field(0, description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the packages."""
        return " and ".join(sorted({part.module.split(".")[0] for part in self.parts}))

    def listing(self, request: SourceRequest) -> Listing:
        """List every part that is here or can be fetched; a domain with a missing part is left out."""
        rows: dict[str, list[Item]] = defaultdict(list)
        problems = []
        present = []
        for part in self.parts:
            try:
                kept = _keep(part, request)
            except Absent as reason:
                problems.append(f"{part.domain}: {reason}")
                continue
            present.append(part)
            for path, row, label in kept.images():
                rows[part.domain].append(Item("", request.classes[label], "", path, row, part.split))
        incomplete = {problem.split(":")[0] for problem in problems}
        items = {domain: listed for domain, listed in rows.items() if domain not in incomplete}
        if not items:
            raise Absent("; ".join(dict.fromkeys(problems)))

        def whole() -> layouts.Items:
            for part in present:
                _keep(part, request, read=True)
            return items

        return Listing(self.title, layouts.digest_of(items), whole, tuple(problems))


def _keep(part: LibraryPart, request: SourceRequest, read: bool = False) -> KeptPart:
    """Find a part's images and labels: in the cache, or else with the library; see `kept_part`."""

    def make(array: Path) -> KeptPart:
        dataset = _open(part, request)
        return _of_files(dataset) or _of_arrays(dataset, array)

    kept = kept_part(part.key, make, read, KeptPart)
    check_classes(part.call, kept, request.classes)
    return kept


def kept_part(key: str, make: Callable[[Path], Part], read: bool, form: type[Part]) -> Part:
    """Find a part in the cache, or make it, with its array, if it is one, at the path that `make` is given.

    Whoever is to `read` an array gets a whole one: an index of a damaged one would be of other images.
    """
    note = cache_part("library") / f"{combine(key, code_digest(*CODE))}.json"
    with contextlib.suppress(OSError, ValueError, IndexError):
        kept = form.model_validate_json(unseal(note.read_bytes()))
        if kept.there:
            if not read or kept.whole:
                return kept
            LOG.warning("damaged, and made anew: %s", kept.array)
    kept = make(note.with_suffix(".npy"))
    with writing_to_cache():
        write_atomically(note, seal(kept.model_dump_json().encode()))
    return kept


def keep_array(out: Path, images: np.ndarray, labels: list[int], classes: list[str]) -> KeptPart:
    """Write images to a file of the cache."""
    with writing_to_cache(), atomic_file(out) as temporary:
        with temporary.open("wb") as file:
            np.save(file, images, allow_pickle=False)
        sha256 = sha256_of(temporary)
    return KeptPart(array=str(out), labels=labels, classes=classes, sha256=sha256)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_classes(what: str, kept: KeptPart, classes: Sequence[str]) -> None:
    """Check that images' classes, where they are named, are those of the card in the same order.

    A library may say more than the card (`0 - zero`).

    Raises:
        UserError: another number of classes, or another name at some place.
    """
    known = kept.classes
    if (known and len(known) != len(classes)) or max(kept.labels, default=0) >= len(classes):
        count = len(known) or f"{max(kept.labels) + 1} or more"
        of = "class" if count == 1 else "classes"
        raise UserError(f"{what} has {count} {of}, the card {len(classes)}")
    for number, (name, own) in enumerate(zip(known, classes, strict=False)):
        if normalised(name) != normalised(own) and not name.startswith(f"{own} "):
            raise UserError(f"class {number} of {what} is '{name}', of the card '{own}'")


def _names(dataset: Any) -> list[str]:
    """Names of a library's classes by their numbers; none where it does not say."""
    names = getattr(dataset, "classes", getattr(dataset, "target_names", ()))
    return [str(name) for name in names]


def _of_files(dataset: Any) -> KeptPart | None:
    for name in FILES:
        found = getattr(dataset, name, None)
        if found:
            pairs = isinstance(found[0], tuple)
            files = [os.path.abspath(item[0] if pairs else item) for item in found]
            labels = [item[1] for item in found] if pairs else dataset._labels
            return KeptPart(files=files, labels=[int(label) for label in labels], classes=_names(dataset))
    return None


def _of_arrays(dataset: Any, out: Path) -> KeptPart:
    if hasattr(dataset, "target") and hasattr(dataset, "images"):
        # scikit-learn's: floats from 0 to the brightest.
        images = np.asarray(dataset.images)
        arrays = list(np.round(images / images.max() * 255).astype(np.uint8))
        labels = [int(label) for label in dataset.target]
    else:
        pairs = [dataset[row] for row in range(len(dataset))]
        arrays = [np.asarray(image) for image, _ in pairs]
        labels = [int(np.ravel(label)[0]) for _, label in pairs]
    return keep_array(out, np.stack(arrays), labels, _names(dataset))


def _open(part: LibraryPart, request: SourceRequest) -> Any:
    """Open the library's dataset: out of a folder of the user, else out of the cache, else fetch it."""
    try:
        call = getattr(importlib.import_module(part.module), part.call)
    except ImportError:
        raise Absent(f"pip install {part.module.split('.')[0]}") from None
    if "root" not in inspect.signature(call).parameters and part.module.startswith("sklearn"):
        return call(**part.arguments)
    own = cache_part("downloads") / request.name
    for root in (*data_roots(), *(root / request.name for root in data_roots()), own):
        if root.is_dir():
            with contextlib.suppress(RuntimeError, OSError, ValueError, KeyError):
                return call(root=str(root), download=False, **part.arguments)
    if not request.download:
        raise Absent(f"{part.call} is not here")
    with writing_to_cache():
        own.mkdir(parents=True, exist_ok=True)
    try:
        with safe_archives():
            return call(root=str(own), download=True, **part.arguments)
    except (RuntimeError, OSError, ValueError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Absent(f"{part.call} cannot be fetched: {reason}") from None


@contextlib.contextmanager
def safe_archives() -> Iterator[None]:
    """Keep archives that a library unpacks from writing outside their folder, in any Python version."""
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        if before is None:
            del tarfile.TarFile.extraction_filter
        else:
            tarfile.TarFile.extraction_filter = before
