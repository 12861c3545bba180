"""Tree of one's own images: which folders are domains, classes, published splits, or none."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.data.sources.base import SPLIT_NAMES
from bench.data.sources.parquet import check_rows
from bench.data.sources.walk import SUFFIXES_OF, File, Unread, walk

CONTAINERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data"))
"""Names of folders that hold all there is in the folder above and say nothing."""

NEARLY_ALL = 0.95
"""Share of the images that lie below a wrapper: what lies beside it is no domain."""

LABELS_NEEDED = (
    "labels of the target are needed to measure: put its images into folders of their classes, "
    "at least 3 of each class"
)

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
    """Folders on the way to some images, each with its role."""

    folders: Folders
    files: list[File]
    roles: list[str]
    """`split`, `folder` (which says nothing), or empty where it is a domain or class."""

    @property
    def names(self) -> Folders:
        """Names of the folders that are domains or classes."""
        return tuple(name for name, role in zip(self.folders, self.roles, strict=True) if not role)

    @property
    def split(self) -> str:
        """Published split; the innermost where there are several."""
        splits = [name for name, role in zip(self.folders, self.roles, strict=True) if role == "split"]
        return SPLIT_NAMES[splits[-1].lower()] if splits else ""

    def skip(self, place: int) -> None:
        """Make the domain or class at this place a folder that says nothing."""
        self.roles[[number for number, role in enumerate(self.roles) if not role][place]] = "folder"

    def shape(self, flat: bool) -> str:
        """Roles from the root to the class, as `split/domain/class`."""
        wanted = iter(["class"] if flat else ["domain", "class"])
        return "/".join(filter(None, (role or next(wanted, "") for role in self.roles)))


def read_tree(root: Path, modality: str = "image") -> Tree:
    """Read a folder `<domain>/<class>/…` or `<class>/…` by where most folders of images lie.

    Folders `train`, `val` and `test` at any level above the images are published splits. A folder in which
    nearly everything lies is looked through.
    """
    unread = Unread(SUFFIXES_OF[modality])
    inside: dict[Folders, list[File]] = defaultdict(list)
    for count, file in enumerate((file for file in walk(root) if unread.note(file)), 1):
        inside[file.folders].append(file)
        check_rows(root, count)
    ways = _ways(inside)
    wrapper = _look_through(ways)
    flat = _flat(ways)
    images, shapes, outside = list[Image](), defaultdict[str, list[File]](list), False
    least = 1 if flat else 2
    for way in ways:
        names, split = way.names, way.split
        if len(names) < least:
            outside = True
            for file in way.files:
                unread.add("outside the folders of classes", file)
            continue
        domain = (wrapper or root.name or root.resolve().name) if flat else names[0]
        images += [Image(domain, names[least - 1], split, root / file.inside) for file in way.files]
        shapes[way.shape(flat)] += way.files
    ordered = sorted(shapes.items(), key=lambda shape: -len(shape[1]))
    reading = " and ".join(f"{shape} (as {files[0].inside})" for shape, files in ordered)
    notes = [f"layout: read as {reading}"] if set(shapes) - {"domain/class", "class"} else []
    if any(image.split for image in images):
        notes[0] += "; images keep the split that they are published with"
    if unread.text:
        notes.append(f"not read: {unread.text}" + (f"; {LABELS_NEEDED}" if outside else ""))
    return Tree(images, flat, reading, notes)


def _ways(inside: dict[Folders, list[File]]) -> list[Way]:
    """Tell which folders are published splits or hold all there is in the folder above.

    Most of what lies beside a published split are others; of the classes `bus`, `car` and `train` none is.
    """
    children: dict[Folders, set[str]] = defaultdict(set)
    for folders in inside:
        for depth, name in enumerate(folders):
            children[folders[:depth]].add(name)

    def role(parent: Folders, name: str) -> str:
        names = {other.lower() for other in children[parent]}
        if 2 * len(names & set(SPLIT_NAMES)) > len(names):
            return "split" if name.lower() in SPLIT_NAMES else ""
        return "folder" if len(names) == 1 and names <= CONTAINERS and parent not in inside else ""

    return [
        Way(folders, files, [role(folders[:depth], name) for depth, name in enumerate(folders)])
        for folders, files in inside.items()
    ]


def _flat(ways: list[Way]) -> bool:
    """Return True if most folders of images are classes right in the root; of as many, most images decide."""
    classes, deeper = Counter[str](), Counter[Folders]()
    for way in ways:
        if len(way.names) == 1:
            classes[way.names[0]] += len(way.files)
        elif way.names:
            deeper[way.names[:2]] += len(way.files)
    return (len(classes), classes.total()) > (len(deeper), deeper.total())


def _look_through(ways: list[Way]) -> str:
    """Skip wrappers: folders in which nearly all images lie; returns the innermost one's name, or nothing."""
    wrapper = ""
    total = sum(len(way.files) for way in ways)
    while sum(_sizes(ways, 2, 0).values()) > total / 2:
        (first, count), *_ = _sizes(ways, 2, 0).most_common(1)
        usual: Counter[int] = Counter()
        for way in ways:
            if len(way.names) >= 2:
                usual[len(way.names)] += len(way.files)
        depth = usual.most_common(1)[0][0]
        beside = [way for way in ways if way.names[:1] != (first,)]
        if count < NEARLY_ALL * usual.total() or any(len(way.names) >= depth for way in beside):
            break
        wrapper = first
        for way in ways:
            if way.names[:1] == (first,):
                way.skip(0)
            else:
                # What lies beside a wrapper has no domain or class.
                way.roles[:] = [role or "folder" for role in way.roles]
    middle = _sizes(ways, 3, 1)
    if len(middle) == 1 and middle.total() > total / 2:
        for way in ways:
            if len(way.names) >= 3:
                way.skip(1)
    return wrapper


def _sizes(ways: list[Way], depth: int, place: int) -> Counter[str]:
    """Count the images that lie so deep at least, by the folder at a place of their way."""
    sizes: Counter[str] = Counter()
    for way in ways:
        if len(way.names) >= depth:
            sizes[way.names[place]] += len(way.files)
    return sizes
