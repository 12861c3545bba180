"""Features of a frozen part: what seeds and methods share of them, and views that are made when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.seeds import stream
from bench.data.splits import TRAIN, subset
from bench.engine.evaluation.predict import at_once
from bench.engine.training.inputs.base import InputsRequest, KeptInputs
from bench.engine.training.inputs.image import image_inputs
from bench.spec.cell import Cell
from tests.support.cells import CLASSES, answer, assert_equal, steps_of, tiny_cell

PRETRAINED, SIZE = "tf_efficientnet_lite0", 16


def cell(method: str, seed: int = 0) -> Cell:
    """google → twitter, two shots, on weights that no seed draws."""
    return tiny_cell(method, backbone=PRETRAINED, seed=seed, image_size=SIZE)


def count(artifacts: Path) -> tuple[int, int]:
    """Sets of features, and of views, that are there."""
    features, views = (len([*(artifacts / kind).glob("*.safetensors")]) for kind in ("features", "views"))
    return features, views


def test_seeds_and_methods_share_what_no_seed_draws(tmp_path: Path) -> None:
    """Features of two domains; of MAML, which fits the target in one go, views of the source alone."""
    shared = tmp_path / "shared"
    first, _ = answer(cell("maml"), shared)
    assert count(shared) == (2, 1)
    assert set(first.cost.shared_seconds) == set()
    second, predictions = answer(cell("maml", seed=1), shared)
    assert count(shared) == (2, 2)
    assert second.cost.seconds.keys() >= {"views"}
    assert second.cost.seconds.get("features") is None
    assert second.cost.shared_seconds["features"] == pytest.approx(first.cost.seconds["features"])
    assert_equal(predictions, answer(cell("maml", seed=1), tmp_path / "alone")[1])
    answer(cell("linear-probe", seed=2), shared)
    assert count(shared) == (2, 2), "the probe takes the same features, and no views"
    again, _ = answer(cell("anil", seed=1), shared)
    assert count(shared) == (2, 2)
    assert again.cost.shared_seconds["views"] == pytest.approx(second.cost.seconds["views"])


def test_a_loop_on_the_target_has_views_of_it(tmp_path: Path) -> None:
    answer(cell("partial-finetune"), tmp_path)
    assert count(tmp_path) == (2, 2)


def test_views_are_features_of_augmented_images(tmp_path: Path) -> None:
    """Each view of each training image, by the network as it is."""
    execution = steps_of(cell("maml", seed=5), tmp_path)
    execution.open()
    (source,) = (
        view.inputs
        for items, view in execution.partitions.streams.items()
        if items.part == "train" and items.domain == "google"
    )
    assert isinstance(source, KeptInputs)
    assert source.views
    assert source.places is not None
    rows = np.flatnonzero(source.places >= 0)
    assert {*rows} >= {*subset(execution.dataset, "google", CLASSES, TRAIN).rows}
    images = execution.dataset.decoded("google", SIZE)
    request = InputsRequest(
        images, SIZE, PRETRAINED, "crop-flip", torch.device("cpu"), False, reference=lambda: images
    )
    inputs = image_inputs(request)
    batch = rows[: at_once(inputs, torch.device("cpu"))]
    clean = _features(execution.backbone, inputs.take(batch))
    assert torch.allclose(source.take(batch), clean, atol=1e-3)
    views = source.views()
    assert views.shape == (4, len(rows), clean.shape[1])
    for number, view in enumerate(views):
        # A batch's draws are of its seed, and of the place where it begins.
        drawn = inputs.take(batch, stream(stream(5, "view", number), 0))
        assert torch.allclose(view[: len(batch)], _features(execution.backbone, drawn), atol=1e-3)
        assert not torch.allclose(view[: len(batch)], clean, atol=1e-1)


def _features(backbone: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = backbone.eval()(x)
    return found
