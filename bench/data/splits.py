"""Splits of datasets by group, shots, and subsets of classes.

Splits depend on the card's split seed alone, shots also on the run seed; both are hashes of names, so
they do not depend on the order of files and hold when other classes or domains are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from bench.core.errors import TooFewImages, UserError
from bench.data.dataset import Dataset, Domain
from bench.spec.cell import Scenario

SPLITS = TRAIN, VALIDATION, TEST = ("train", "validation", "test")


@dataclass(frozen=True)
class Subset:
    """Subset of the images of one domain, with labels that index a scenario's own classes."""

    rows: np.ndarray
    """int64 (images,): rows of the domain's decode cache."""
    labels: np.ndarray
    """int64 (images,): index into the scenario's classes."""
    groups: np.ndarray
    """int32 (images,): related images share a number."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, picked: np.ndarray) -> Subset:
        """Select the images at these positions, int64 (n,)."""
        return Subset(self.rows[picked], self.labels[picked], self.groups[picked])

    def without(self, others: Subset) -> Subset:
        """Remove the images of another subset of the same domain."""
        return self.take(np.flatnonzero(~np.isin(self.rows, others.rows)))


def concatenate(subsets: Sequence[Subset]) -> Subset:
    """Concatenate subsets whose rows are of the same images."""
    return Subset(*(np.concatenate([getattr(s, f.name) for s in subsets]) for f in fields(Subset)))


def first_rows(dataset: Dataset, domains: Sequence[str]) -> np.ndarray:
    """First row of each of several domains, int64 (domains,), where the rows of one follow another's."""
    counts = [len(dataset.domain(name).names) for name in domains]
    return np.cumsum([0, *counts[:-1]])


def pooled(
    dataset: Dataset,
    domains: Sequence[str],
    classes: tuple[str, ...],
    split: str,
    absent: Collection[str] = (),
    unknown: tuple[str, ...] = (),
) -> Subset:
    """Select the images of `subset` in several domains, one after the other; rows are numbered on.

    Those of the `absent` classes are left out; those of the `unknown` ones come too, with the label behind
    the last of `classes`.
    """
    parts = [
        _known(subset(dataset, domain, (*classes, *unknown), split), classes, absent) for domain in domains
    ]
    starts = first_rows(dataset, domains)
    return concatenate(
        [replace(part, rows=part.rows + start) for part, start in zip(parts, starts, strict=True)]
    )


def _known(images: Subset, classes: tuple[str, ...], absent: Collection[str]) -> Subset:
    """Images of classes that are not absent; those of further classes have one label."""
    kept = images.take(np.flatnonzero(~np.isin(images.labels, [classes.index(name) for name in absent])))
    return replace(kept, labels=np.minimum(kept.labels, len(classes)))


def _order(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def splits(dataset: Dataset, domain: Domain) -> np.ndarray:
    """Return the split of each image, int8 (images,): an index into `SPLITS`, or -1 for images left out.

    Each class's groups are put in a seeded order and cut: at least one group for test and validation
    each. A group that spans classes goes where its first class puts it, one that spans domains where the
    first domain does. Where the dataset is published with its own split, that holds, and what it lacks is
    cut from its training images; a training image whose group is also among its test images is left out.
    """
    if not dataset.splits:
        dataset.splits.update(_all_splits(dataset))
    return dataset.splits[domain.name]


def _all_splits(dataset: Dataset) -> dict[str, np.ndarray]:
    spec = dataset.card.split
    published = _published(dataset)
    of_group = {group: split for group, split in published.items() if split}
    for domain in dataset.domains.values():
        by_label = np.argsort(domain.labels, kind="stable")
        ends = np.searchsorted(domain.labels[by_label], np.arange(len(dataset.card.classes) + 1))
        for start, end in pairwise(ends):
            groups = np.unique(domain.groups[by_label[start:end]]).tolist()
            there = {published.get(group) for group in groups}
            unsplit = [group for group in groups if group not in of_group]
            unsplit.sort(key=lambda group: _order(spec.seed, "split", domain.group_names[group]))
            test = 0 if 2 in there else max(1, round(spec.test * len(unsplit)))
            validation = 0 if 1 in there else max(1, round(spec.validation * len(unsplit)))
            for position, group in enumerate(unsplit):
                of_group[group] = 2 if position < test else 1 if position < test + validation else 0
    return {domain.name: _of_images(domain, of_group, published) for domain in dataset.domains.values()}


def _published(dataset: Dataset) -> dict[int, int]:
    """Map groups to the last split (training, validation, test) that one of their images is published in."""
    of_group: dict[int, int] = {}
    for domain in dataset.domains.values():
        for group, split in zip(domain.groups.tolist(), domain.published, strict=True):
            if split:
                of_group[group] = max(of_group.get(group, 0), SPLITS.index(split))
    return of_group


def _of_images(domain: Domain, of_group: dict[int, int], published: dict[int, int]) -> np.ndarray:
    out = np.array([of_group[group] for group in domain.groups.tolist()], dtype=np.int8)
    for row, split in enumerate(domain.published):
        if split and split != TEST and published[int(domain.groups[row])] == SPLITS.index(TEST):
            out[row] = -1
    return out


def subset(dataset: Dataset, domain: str, classes: tuple[str, ...], split: str) -> Subset:
    """Select the images of some classes in one split of a domain, or in `all` of them."""
    images = dataset.domain(domain)
    numbers = np.full(len(dataset.card.classes), -1, dtype=np.int64)
    for position, name in enumerate(classes):
        numbers[dataset.card.classes.index(name)] = position
    labels = numbers[images.labels]
    of_image = splits(dataset, images)
    chosen = of_image >= 0 if split == "all" else of_image == SPLITS.index(split)
    rows = np.flatnonzero(chosen & (labels >= 0))
    return Subset(rows, labels[rows], images.groups[rows])


def untaught(dataset: Dataset, scenario: Scenario) -> tuple[str, ...]:
    """Warnings that name classes which are tested in a domain, and have no training image there.

    Related images, a group, stay together: a class of one or two groups has none left to train on. Of a
    target without shots nothing but the source's classes is trained on.
    """
    sides = [(source, scenario.source_classes) for source in scenario.sources]
    if scenario.shots != 0 or not sides:
        sides.append((scenario.target, scenario.target_classes))
    found = (_untaught(dataset, domain, classes) for domain, classes in sides if domain in dataset.domains)
    return tuple(dict.fromkeys(text for text in found if text))


def _untaught(dataset: Dataset, domain: str, classes: tuple[str, ...]) -> str:
    train, test = (_class_counts(dataset, domain, classes, part) for part in (TRAIN, TEST))
    named = [name for name, lacks in zip(classes, (train == 0) & (test > 0), strict=True) if lacks]
    if not named:
        return ""
    more, kind = " and more" if len(named) > 5 else "", dataset.card.kind
    return (
        f"classes of {dataset.card.name}/{domain} that are tested have no training {kind.item}, which "
        f"takes three groups of related {kind.items}: {', '.join(named[:5])}{more} "
        f"({len(named)} of {len(classes)})"
    )


def _class_counts(dataset: Dataset, domain: str, classes: tuple[str, ...], part: str) -> np.ndarray:
    return np.bincount(subset(dataset, domain, classes, part).labels, minlength=len(classes))


def draw_shots(
    dataset: Dataset, domain: str, classes: tuple[str, ...], shots: int | str, seed: int
) -> Subset:
    """Draw `shots` labelled training images per class (`"all"`: every one); fewer are a subset of more.

    Images of different groups come first, so that five shots show five things where a class has as many.

    Raises:
        TooFewImages: a class has fewer training images than shots.
    """
    train = subset(dataset, domain, classes, TRAIN)
    if shots == "all":
        return train
    names = dataset.domains[domain].names
    picked: list[np.int64] = []
    for label, name in enumerate(classes):
        rows = np.flatnonzero(train.labels == label)
        if len(rows) < int(shots):
            raise TooFewImages(
                f"{shots} shots, but class '{name}' of {dataset.card.name}/{domain} has {len(rows)} "
                f"training {dataset.card.kind.items}: ask for fewer shots or other classes"
            )
        order = sorted(rows, key=lambda i: _order(seed, "shots", names[train.rows[i]]))
        seen: Counter[int] = Counter()
        turn = {}
        for i in order:
            turn[i] = seen[group := int(train.groups[i])]
            seen[group] += 1
        picked.extend(sorted(order, key=lambda i: turn[i])[: int(shots)])
    return train.take(np.array(picked, dtype=np.int64))


def hold_out(images: Subset, share: float, seed: int) -> tuple[Subset, Subset]:
    """Hold out a share of groups of every class that has two or more: returns (the rest, held out)."""
    random = np.random.default_rng(seed)
    held: set[int] = set()
    for label in np.unique(images.labels) if share else ():
        groups = np.unique(images.groups[images.labels == label])
        count = max(1, round(share * len(groups))) if len(groups) > 1 else 0
        held.update(random.permutation(groups)[:count].tolist())
    out = np.isin(images.groups, list(held))
    return images.take(np.flatnonzero(~out)), images.take(np.flatnonzero(out))


def fold_of(shots: Subset, fold: int) -> tuple[Subset, Subset]:
    """Hold out cross-validation fold `fold`, the group of that number (modulo their count) of each class.

    Returns (the rest, held out).

    Raises:
        UserError: a class has only one group of images, so that none would be left to train on.
    """
    held: set[int] = set()
    for label in np.unique(shots.labels):
        groups = np.unique(shots.groups[shots.labels == label])
        if len(groups) < 2:
            raise UserError("tuning needs two different items of each class: use more shots")
        held.add(int(groups[fold % len(groups)]))
    out = np.isin(shots.groups, list(held))
    return shots.take(np.flatnonzero(~out)), shots.take(np.flatnonzero(out))
