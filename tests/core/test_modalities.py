"""Modalities: one registry, with a file for each in three rooms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.data.decoders import DECODERS
from bench.engine.training.inputs.base import InputsRequest
from bench.engine.training.inputs.make import INPUTS
from bench.networks.backbones.create import FAMILIES
from bench.networks.backbones.families import MEMBERS, USUAL, check_family, family_of
from tests.support.checkout import ROOT


def test_every_modality_has_its_files() -> None:
    assert set(MODALITIES) == set(DECODERS) == set(INPUTS)
    assert set(FAMILIES) == {USUAL, *MEMBERS} <= set(MODALITIES)
    for name in MODALITIES:
        assert (ROOT / "bench" / "data" / "decoders" / f"{name}.py").is_file()
        assert (ROOT / "bench" / "engine" / "training" / "inputs" / f"{name}.py").is_file()


@pytest.mark.parametrize("name", MODALITIES)
def test_sizes_and_augmentations_are_checked(name: str) -> None:
    kind = MODALITIES[name]
    for augment in kind.augmentations:
        kind.check(kind.least, augment)
    with pytest.raises(UserError, match=f"{kind.most} {kind.unit}"):
        kind.check(kind.most + 1, kind.augmentations[0])
    with pytest.raises(UserError, match=f"augment = 'mixup' is none of {kind.items}"):
        kind.check(kind.least, "mixup")


def test_families_by_name() -> None:
    for name in (
        "tf_efficientnet_lite0",
        "resnet50.untrained",
        "hf-hub:timm/x@main",
        "resnet18@0123456789abcdef",
    ):
        assert family_of(name) == "image"
        check_family(name, "image")


def test_inputs_of_images_say_how_many_and_how_large() -> None:
    pixels = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    inputs = INPUTS["image"](
        InputsRequest(
            *(pixels, 8, "tf_efficientnet_lite0", "none", torch.device("cpu"), True),
            reference=lambda: pixels,
        )
    )
    assert len(inputs) == 5
    assert inputs.numbers == inputs.take(np.arange(1)).numel() == 3 * 8 * 8
