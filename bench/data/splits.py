"""Who may see what: splits by group, the shots, and the classes of a scenario.

Splits depend on the card's split seed alone, shots also on the run seed; both are hashes of names, so
they do not depend on the order of files and hold when other classes or domains are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from bench.data.dataset import Dataset, Domain
from bench.errors import UserError

SPLITS = TRAIN, VALIDATION, TEST = ("train", "validation", "test")


@dataclass(frozen=True)
class Subset:
    """Some images of one domain, with labels counted in a scenario's own classes."""

    rows: np.ndarray
    """int64 (images,): rows of the domain's decode cache."""
    labels: np.ndarray
    """int64 (images,): index into the scenario's classes."""
    groups: np.ndarray
    """int32 (images,): related images share a number."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, picked: np.ndarray) -> Subset:
        """The images at these positions."""
        return Subset(self.rows[picked], self.labels[picked], self.groups[picked])

    def without(self, others: Subset) -> Subset:
        """The images that are not among others of the same domain."""
        return self.take(np.flatnonzero(~np.isin(self.rows, others.rows)))


def concatenate(subsets: Sequence[Subset]) -> Subset:
    """All images of several subsets, one subset after the other."""
    return Subset(*(np.concatenate([getattr(s, f.name) for s in subsets]) for f in fields(Subset)))


def _order(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def splits(dataset: Dataset, domain: Domain) -> np.ndarray:
    """Per image the number of its split in `SPLITS`, int8 (images,).

    Each class's groups are put in a seeded order and cut: at least one group for test and validation
    each. A group that spans classes goes where its first class puts it.
    """
    spec = dataset.card.split
    of_group: dict[int, int] = {}
    for label in range(len(dataset.card.classes)):
        mine = [g for g in np.unique(domain.groups[domain.labels == label]) if g not in of_group]
        mine.sort(key=lambda group: _order(spec.seed, "split", domain.group_names[group]))
        test = max(1, round(spec.test * len(mine)))
        validation = max(1, round(spec.validation * len(mine)))
        for position, group in enumerate(mine):
            of_group[group] = 2 if position < test else 1 if position < test + validation else 0
    return np.array([of_group[group] for group in domain.groups], dtype=np.int8)


def subset(dataset: Dataset, domain: str, classes: tuple[str, ...], split: str) -> Subset:
    """The images of some classes in one split of a domain."""
    images = dataset.domains[domain]
    numbers = np.full(len(dataset.card.classes), -1, dtype=np.int64)
    for position, name in enumerate(classes):
        numbers[dataset.card.classes.index(name)] = position
    labels = numbers[images.labels]
    rows = np.flatnonzero((splits(dataset, images) == SPLITS.index(split)) & (labels >= 0))
    return Subset(rows, labels[rows], images.groups[rows])


def draw_shots(
    dataset: Dataset, domain: str, classes: tuple[str, ...], shots: int | str, seed: int
) -> Subset:
    """`shots` labelled training images per class (`"all"`: every one); fewer shots are a subset of more.

    Images of different groups come first, so that five shots show five things where a class has as many.

    Raises:
        UserError: a class has fewer training images than shots.
    """
    train = subset(dataset, domain, classes, TRAIN)
    if shots == "all":
        return train
    names = dataset.domains[domain].names
    picked: list[np.int64] = []
    for label, name in enumerate(classes):
        mine = np.flatnonzero(train.labels == label)
        if len(mine) < int(shots):
            raise UserError(
                f"{shots} shots, but class '{name}' of {dataset.card.name}/{domain} has {len(mine)} "
                "training images: ask for fewer shots or other classes"
            )
        order = sorted(mine, key=lambda i: _order(seed, "shots", names[train.rows[i]]))
        seen: Counter[int] = Counter()
        turn = {}
        for i in order:
            turn[i] = seen[group := int(train.groups[i])]
            seen[group] += 1
        picked.extend(sorted(order, key=lambda i: turn[i])[: int(shots)])
    return train.take(np.array(picked, dtype=np.int64))


def hold_out(images: Subset, share: float, seed: int) -> tuple[Subset, Subset]:
    """(the rest, a share held out): whole groups, from every class that has at least two of them."""
    random = np.random.default_rng(seed)
    held: set[int] = set()
    for label in np.unique(images.labels) if share else ():
        mine = np.unique(images.groups[images.labels == label])
        count = max(1, round(share * len(mine))) if len(mine) > 1 else 0
        held.update(random.permutation(mine)[:count].tolist())
    out = np.isin(images.groups, list(held))
    return images.take(np.flatnonzero(~out)), images.take(np.flatnonzero(out))


def fold_of(shots: Subset, fold: int) -> tuple[Subset, Subset]:
    """(the rest, one image per class): the `fold`-th of each class, counted round, and what is related to it.

    Raises:
        UserError: a class has only one group of images, so that nothing would be left of it.
    """
    held: set[int] = set()
    for label in np.unique(shots.labels):
        groups = np.unique(shots.groups[shots.labels == label])
        if len(groups) < 2:
            raise UserError("tuning needs two different images of each class: use more shots")
        held.add(int(groups[fold % len(groups)]))
    out = np.isin(shots.groups, list(held))
    return shots.take(np.flatnonzero(~out)), shots.take(np.flatnonzero(out))
