from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.errors import UserError
from bench.data.decoders.image import decode
from bench.engine.training.inputs.image import ImageInputs
from bench.networks.backbones.create import (
    check_backbone,
    check_batch_size,
    check_image_size,
    create_backbone,
)
from bench.networks.backbones.image import imagenet_classifier, normalisation
from bench.networks.backbones.weights import available_offline, untrained
from bench.networks.split import Prefix, suffix
from tests.support.checkout import python

LITE = "tf_efficientnet_lite0"
NAMES = (LITE, "test_efficientnet.untrained", "resnet18.untrained", "mobilenetv3_small_050.untrained")


def test_a_cat_is_a_cat(tmp_path: Path) -> None:
    """Packaged weights, decoding, normalisation and the order of classes fit together."""
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.chelsea()).save(tmp_path / "chelsea.png")
    mean, std = normalisation(LITE)
    assert (mean, std) == ((0.5,) * 3, (0.5,) * 3)
    pixels = decode(tmp_path / "chelsea.png", 224)[None]
    x = ImageInputs(pixels, mean, std, torch.device("cpu"), True).take(np.array([0]))
    assert -1 <= x.min() < x.max() <= 1
    net = imagenet_classifier(LITE)
    with torch.inference_mode():
        probabilities = net(x).softmax(1)[0]
        backbone = create_backbone(LITE).eval()
        logits = net.get_classifier()(backbone(x))  # type: ignore[operator]
    assert probabilities.argmax() == 285  # Egyptian cat
    assert probabilities[285] > 0.5
    torch.testing.assert_close(logits.softmax(1)[0], probabilities)


@pytest.mark.parametrize("name", NAMES)
def test_features(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name).eval()
    with torch.inference_mode():
        features = backbone(torch.rand(3, 3, 64, 64))
    assert features.shape == (3, backbone.num_features)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])
    assert len(backbone.stages) > 2
    mean, std = normalisation(name)
    assert len(mean) == len(std) == 3


def test_untrained_is_decided_by_torchs_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in create_backbone("test_efficientnet.untrained").parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_pretrained_is_always_the_same_and_a_copy() -> None:
    one = create_backbone(LITE)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    torch.manual_seed(99)
    two, three = create_backbone(LITE), create_backbone(LITE)
    assert any(bool(p.any()) for p in two.parameters())
    assert all(torch.equal(a, b) for a, b in zip(two.parameters(), three.parameters(), strict=True))


def test_untrained_name() -> None:
    assert untrained("resnet18.a1_in1k") == untrained("resnet18") == untrained("resnet18.untrained")
    assert untrained(LITE) == f"{LITE}.untrained"
    torch.manual_seed(0)
    assert not torch.equal(
        next(create_backbone(LITE).parameters()), next(create_backbone(untrained(LITE)).parameters())
    )


@pytest.mark.parametrize(
    "name", [LITE, f"{LITE}.untrained", "resnet18", "resnet18.a1_in1k", "botnet50ts_256.untrained"]
)
def test_known_names(name: str) -> None:
    check_backbone(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tf_eficientnet_lite0",
            "unknown backbone 'tf_eficientnet_lite0': did you mean 'tf_efficientnet_lite0'",
        ),
        (
            "resnet18.a1_in2k",
            "unknown weights 'a1_in2k' of backbone 'resnet18': did you mean 'resnet18.a1_in1k'",
        ),
        ("resnet18.untraind", "did you mean 'resnet18.untrained'"),
        ("botnet50ts_256", "no pretrained weights for 'botnet50ts_256': use 'botnet50ts_256.untrained'"),
        ("zzzzzzzz", "unknown backbone 'zzzzzzzz'"),
    ],
)
def test_unknown_names(name: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as error:
        check_backbone(name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "name", ["test_vit", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "maxvit_rmlp_pico_rw_256"]
)
def test_networks_of_one_size_are_built_for_another(name: str) -> None:
    check_image_size(name, 64)
    backbone = create_backbone(f"{name}.untrained", 64).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, backbone.num_features)


def test_a_network_of_one_size_is_told_before_it_is_run() -> None:
    """For any backbone and size, in one line."""
    for name in ("crossvit_9_240.in1k", "efficientformer_l1.snap_dist_in1k"):
        with pytest.raises(
            UserError, match=rf"backbone '{name}' cannot take images of 64 px .* made for \d+ px"
        ):
            check_image_size(name, 64)
    for name in (LITE, "resnet18.untrained"):
        check_image_size(name, 64)


def test_single_images_have_no_statistics() -> None:
    check_batch_size("test_efficientnet.untrained", 64, 2)
    check_batch_size("test_vit.untrained", 32, 1)
    with pytest.raises(UserError, match=r"batches of one image of 32 px .* batch_size = 2 or more"):
        check_batch_size("resnet18.untrained", 32, 1)


def test_weights_out_of_reach(tmp_path: Path) -> None:
    """One line that says what is there instead."""
    assert LITE in available_offline()
    arguments = ("run", "--suite", "smoke", "--methods", "linear-probe", "--backbone", "resnet18.a1_in1k")
    process = python(
        "-m", "bench", *arguments, cwd=tmp_path, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub")
    )
    assert process.returncode == 2
    *said, error = process.stderr.splitlines()
    assert said in ([], ["fetching the weights of resnet18.a1_in1k from the hub"])
    assert error.startswith("error: cannot fetch the weights of 'resnet18.a1_in1k'")
    assert f"available offline: {LITE}" in error
    assert len(error) < 500


@pytest.mark.parametrize("name", ["ganin_mnist.untrained", "ganin_mnist_bn.untrained"])
def test_the_network_of_ganin(name: str) -> None:
    """Figure 4a of Ganin et al. 2016: 32 and 48 filters of 5 x 5, pooling, two layers of 100."""
    check_backbone(name)
    backbone = create_backbone(name, 28).eval()
    sizes = [p.numel() for p in backbone.parameters() if p.ndim > 1]
    assert sizes == [32 * 3 * 25, 48 * 32 * 25, 100 * 48 * 4 * 4, 100 * 100]
    norms = [m for m in backbone.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == (4 if "_bn" in name else 0)
    x = torch.rand(3, 3, 28, 28)
    with torch.inference_mode():
        features = backbone(x)
    assert features.shape == (3, backbone.num_features) == (3, 100)
    for stage in backbone.stages:
        upper = suffix(backbone, stage, x[:1])
        with torch.inference_mode():
            torch.testing.assert_close(upper(Prefix(backbone, stage)(x)), features)
    for size in (16, 20, 32):
        check_image_size(name, size)
    with pytest.raises(UserError, match=r"cannot take images of 8 px .*made for 28 px"):
        check_image_size(name, 8)
    with pytest.raises(UserError, match="no pretrained weights for 'ganin_mnist"):
        check_backbone(name.removesuffix(".untrained"))
