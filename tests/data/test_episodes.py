"""Episodes that methods are evaluated on."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.data.episodes import EpisodeImages, draw_episodes
from bench.data.splits import SPLITS, splits
from bench.spec.cell import Episodic, Scenario

CARD = load_card("emoji-home")
CLASSES = tuple(CARD.classes[:8])


def asked(shots: int = 2, **form: int) -> Scenario:
    return Scenario(
        kind="pretrained",
        dataset="emoji-home",
        target="twitter",
        target_classes=CLASSES,
        shots=shots,
        episodes=Episodic(**form),  # type: ignore[arg-type]
    )


def drawn(scenario: Scenario, count: int) -> list[EpisodeImages]:
    return list(draw_episodes(open_dataset(CARD), scenario, count))


@settings(max_examples=25, deadline=None)
@given(way=st.integers(2, 8), shots=st.integers(1, 5), queries=st.integers(1, 4))
def test_what_an_episode_is(way: int, shots: int, queries: int) -> None:
    dataset = open_dataset(CARD)
    domain = dataset.domains["twitter"]
    split = splits(dataset, domain)
    for episode in drawn(asked(shots, way=way, queries=queries), 3):
        assert len(set(episode.classes)) == way
        for images, each, name in ((episode.support, shots, "train"), (episode.queries, queries, "test")):
            assert images.labels.tolist() == np.repeat(np.arange(way), each).tolist()
            assert len(set(images.rows.tolist())) == way * each
            assert set(split[images.rows]) == {SPLITS.index(name)}
            truth = [dataset.card.classes[label] for label in domain.labels[images.rows]]
            assert truth == [episode.classes[label] for label in images.labels]
        assert not set(episode.support.groups.tolist()) & set(episode.queries.groups.tolist())


def test_fewer_are_the_beginning_of_more() -> None:
    few, more = drawn(asked(way=4), 3), drawn(asked(way=4), 6)
    assert [e.queries.rows.tolist() for e in few] == [e.queries.rows.tolist() for e in more[:3]]
    assert len({tuple(e.queries.rows.tolist()) for e in more}) == 6


def test_shots_do_not_change_the_classes_of_an_episode() -> None:
    one, five = drawn(asked(1, way=4), 5), drawn(asked(5, way=4), 5)
    assert [e.classes for e in one] == [e.classes for e in five]


def test_too_few_classes_have_enough_images() -> None:
    expected = "3-way episodes of 2 shots and 99 queries a class, but only 0 classes of emoji-home/twitter"
    with pytest.raises(UserError, match=re.escape(expected)):
        drawn(asked(way=3, queries=99), 1)
