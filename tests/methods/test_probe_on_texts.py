"""A probe on frozen MiniLM beside scikit-learn's logistic regression, on the same features and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from bench.core.packages import NotHere
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.sources.base import Absent
from bench.data.splits import TEST, TRAIN, subset
from bench.engine.training.inputs.base import InputsRequest, in_batches
from bench.engine.training.inputs.make import INPUTS
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.encoders import PINNED, WEIGHTS
from bench.spec.cell import Budget, Cell, Scenario
from tests.support.cells import steps_of

SIZE = 32
SOURCE, TARGET = "tweets", "products"


@pytest.fixture(scope="module")
def reviews() -> Dataset:
    pytest.importorskip("tokenizers")
    try:
        PINNED["minilm"].member(WEIGHTS).read(download=True)
        return open_dataset(load_card("reviews"))
    except (NotHere, Absent) as reason:
        pytest.skip(str(reason))


def features(dataset: Dataset, domain: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """MiniLM's features of a split, computed directly, and the labels."""
    decoded = dataset.decoded(domain, SIZE)
    inputs = INPUTS["text"](InputsRequest(decoded, SIZE, "minilm", "none", torch.device("cpu"), True))
    items = subset(dataset, domain, tuple(dataset.card.classes), split)
    network, found = create_backbone("minilm").eval(), np.zeros((len(items), 384), dtype=np.float32)
    with torch.inference_mode():
        for places, x in in_batches(inputs, items.rows, 32):
            found[places] = network(x).numpy()
    return found, items.labels


@pytest.mark.slow
def test_within_two_points_of_scikit_learn(reviews: Dataset, tmp_path: Path) -> None:
    classes = tuple(reviews.card.classes)
    cell = Cell(
        scenario=Scenario(
            kind="cross-domain",
            dataset="reviews",
            source=SOURCE,
            source_classes=classes,
            target=TARGET,
            target_classes=classes,
            shots=0,
        ),
        method="linear-probe",
        backbone="minilm",
        modality="text",
        metric="balanced-accuracy",
        image_size=SIZE,
        augment="none",
        budget=Budget(steps=20, batch_size=32, evaluations=1),
        seed=0,
    )
    run = steps_of(cell, tmp_path)
    predictions = run.run()
    ours = balanced_accuracy_score(
        predictions["target-test/labels"], predictions["look0/target-test/logits"].argmax(1)
    )
    assert run.evaluations[0].score("target-test") == pytest.approx(ours)
    x, y = features(reviews, SOURCE, TRAIN)
    test, labels = features(reviews, TARGET, TEST)
    np.testing.assert_array_equal(labels, predictions["target-test/labels"])
    theirs = balanced_accuracy_score(labels, LogisticRegression(max_iter=2000).fit(x, y).predict(test))
    print(f"ours {ours:.4f}, scikit-learn {theirs:.4f}")
    assert abs(ours - theirs) < 0.02
