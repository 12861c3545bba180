"""Episodes that methods are evaluated on: the same for every method and run seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.errors import TooFewImages
from bench.core.seeds import stream
from bench.data.dataset import Dataset
from bench.data.splits import TEST, TRAIN, Subset, subset
from bench.spec.cell import Scenario


@dataclass(frozen=True)
class EpisodeImages:
    """Images of one episode; labels index its own classes."""

    classes: tuple[str, ...]
    support: Subset
    queries: Subset


def draw_episodes(dataset: Dataset, scenario: Scenario, count: int) -> Iterator[EpisodeImages]:
    """Draw the first `count` episodes of a scenario: support from training images, queries from test images.

    Each is drawn from a stream of its own, so that fewer episodes are the beginning of more.

    Raises:
        TooFewImages: fewer classes than an episode's ways have enough images.
    """
    form = scenario.episodes
    assert form is not None
    shots = int(scenario.shots)
    names = dataset.domains[scenario.target].names
    train, test = (
        _by_name(subset(dataset, scenario.target, scenario.target_classes, split), names)
        for split in (TRAIN, TEST)
    )
    able = [
        label
        for label in range(len(scenario.target_classes))
        if (train.labels == label).sum() >= shots and (test.labels == label).sum() >= form.queries
    ]
    if len(able) < form.way:
        raise TooFewImages(
            f"{form.way}-way episodes of {shots} shots and {form.queries} queries a class, but only "
            f"{len(able)} classes of {dataset.card.name}/{scenario.target} have as many "
            f"{dataset.card.kind.items}: use a smaller 'way' or 'queries', or fewer shots"
        )
    seed = dataset.card.split.seed
    for number in range(count):
        random = np.random.default_rng(stream(seed, "episode", scenario.target, form.way, number))
        labels = random.permutation(able)[: form.way]
        yield EpisodeImages(
            tuple(scenario.target_classes[label] for label in labels),
            _pick(train, labels, shots, random),
            _pick(test, labels, form.queries, random),
        )


def _by_name(images: Subset, names: Sequence[str]) -> Subset:
    """Sort images by name, so that episodes do not depend on the order of files."""
    order = sorted(range(len(images)), key=lambda place: names[int(images.rows[place])])
    return images.take(np.array(order, dtype=np.int64))


def _pick(images: Subset, labels: np.ndarray, each: int, random: np.random.Generator) -> Subset:
    """Draw `each` images of these classes, one class after the other, labelled by the class's position."""
    picked = [random.permutation(np.flatnonzero(images.labels == label))[:each] for label in labels]
    chosen = images.take(np.concatenate(picked))
    return Subset(chosen.rows, np.repeat(np.arange(len(labels)), each), chosen.groups)
