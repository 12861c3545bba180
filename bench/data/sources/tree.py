"""Tree of one's own images: which folders are domains, classes, published splits, or none."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bench.data.sources.base import SPLIT_NAMES
from bench.data.sources.parquet import check_rows
from bench.data.sources.walk import File, Unread, walk

CONTAINERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data"))
"""Names of folders that hold all there is in the folder above and say nothing."""

NEARLY_ALL = 0.95
"""Share of the images that lie below a wrapper: what lies beside it is no domain."""

Folders = tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """Image of a tree."""

    domain: str
    label: str
    split: str
    path: Path


@dataclass(frozen=True)
class Tree:
    """Images of a folder, and how its folders were read."""

    images: list[Image]
    flat: bool
    """True where classes lie directly in the folder, which is the one domain then."""
    reading: str
    """Roles of the folders on the way to an image, with an example."""
    notes: list[str]
    """What is not obvious about the reading, and what is not read."""


@dataclass
class Way:
    """Folders on the way to an image, each with its role."""

    file: File
    roles: list[str]
    """`split`, `folder` (which says nothing), or empty where it is a domain or class."""

    @property
    def names(self) -> Folders:
        """Names of the folders that are domains or classes."""
        return tuple(name for name, role in zip(self.file.folders, self.roles, strict=True) if not role)

    @property
    def split(self) -> str:
        """Published split; the innermost where there are several."""
        splits = [name for name, role in zip(self.file.folders, self.roles, strict=True) if role == "split"]
        return SPLIT_NAMES[splits[-1].lower()] if splits else ""

    def skip(self, place: int) -> str:
        """Make the domain or class at this place a folder that says nothing; returns its name."""
        position = [number for number, role in enumerate(self.roles) if not role][place]
        self.roles[position] = "folder"
        return self.file.folders[position]

    def shape(self, flat: bool) -> str:
        """Roles from the root to the class, as `split/domain/class`."""
        wanted = iter(["class"] if flat else ["domain", "class"])
        out: list[str] = []
        for role in self.roles:
            here = role or next(wanted, "")
            if here:
                out.append(here)
        return "/".join(out)


def read_tree(root: Path) -> Tree:
    """Read a folder `<domain>/<class>/…` or `<class>/…` by where most images lie.

    Folders `train`, `val` and `test` at any level above the images are published splits. A folder in which
    nearly everything lies is looked through.
    """
    unread, ways = Unread(), list[Way]()
    files = [file for file in walk(root) if unread.note(file)]
    check_rows(root, len(files))
    removable = _removable(files)
    for file in files:
        above = [(), *accumulate((name,) for name in file.folders)]
        roles = [removable[parent].get(name, "") for parent, name in zip(above, file.folders, strict=False)]
        ways.append(Way(file, roles))
    wrapper = _look_through(ways)
    depths = Counter(min(len(way.names), 2) for way in ways)
    flat = depths[1] > depths[2]
    images, shapes = [], defaultdict[str, list[File]](list)
    least = 1 if flat else 2
    for way in ways:
        names = way.names
        if len(names) < least:
            unread.add("outside the folders of classes", way.file)
            continue
        domain = (wrapper or root.name or root.resolve().name) if flat else names[0]
        images.append(Image(domain, names[least - 1], way.split, root / way.file.inside))
        shapes[way.shape(flat)].append(way.file)
    reading = " and ".join(
        f"{shape} (as {files[0].inside})" for shape, files in sorted(shapes.items(), key=_most_first)
    )
    notes = [f"layout: read as {reading}"] if set(shapes) - {"domain/class", "class"} else []
    if any(image.split for image in images):
        notes[0] += "; images keep the split that they are published with"
    if unread.text:
        notes.append(f"not read: {unread.text}")
    return Tree(images, flat, reading, notes)


def _most_first(shape: tuple[str, list[File]]) -> int:
    return -len(shape[1])


def _removable(files: list[File]) -> dict[Folders, dict[str, str]]:
    """Roles of folders, by the folder above and their name, that are neither domain nor class.

    Most of what lies beside a published split are others; of the classes `bus`, `car` and `train` none is.
    """
    children: dict[Folders, set[str]] = defaultdict(set)
    mixed = {file.folders for file in files}
    for file in files:
        for depth, name in enumerate(file.folders):
            children[file.folders[:depth]].add(name)
    roles: dict[Folders, dict[str, str]] = defaultdict(dict)
    for parent, names in children.items():
        splits = {name for name in names if name.lower() in SPLIT_NAMES}
        if 2 * len(splits) > len(names):
            roles[parent] = dict.fromkeys(splits, "split")
        elif len(names) == 1 and parent not in mixed and {name.lower() for name in names} <= CONTAINERS:
            roles[parent] = dict.fromkeys(names, "folder")
    return roles


def _look_through(ways: list[Way]) -> str:
    """Skip wrappers: folders in which nearly all images lie; returns the innermost one's name, or nothing."""
    wrapper = ""
    while len(deep := [way for way in ways if len(way.names) >= 2]) > len(ways) / 2:
        (first, count), *_ = Counter(way.names[0] for way in deep).most_common(1)
        usual = Counter(len(way.names) for way in deep).most_common(1)[0][0]
        beside = [way for way in deep if way.names[0] != first]
        if count < NEARLY_ALL * len(deep) or any(len(way.names) >= usual for way in beside):
            break
        wrapper = first
        for way in ways:
            if way.names[:1] == (first,):
                way.skip(0)
            else:
                # What lies beside a wrapper has no domain or class.
                way.roles[:] = [role or "folder" for role in way.roles]
    deep = [way for way in ways if len(way.names) >= 3]
    if len(deep) > len(ways) / 2 and len({way.names[1] for way in deep}) == 1:
        for way in deep:
            way.skip(1)
    return wrapper
