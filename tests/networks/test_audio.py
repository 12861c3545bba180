"""Networks for recordings: spectrograms, the speech embedding, weights out of ONNX files."""

from __future__ import annotations

import math
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.core.packages import NotHere
from bench.networks.backbones.create import check_backbone, check_image_size, create_backbone, example
from bench.networks.backbones.families import check_family, family_of
from bench.networks.backbones.weights import FROM_PACKAGES, needs_hub, untrained, weights_digest
from bench.networks.modules.onnx import read_tensors
from bench.networks.modules.spectrogram import LogMel, mel_filters
from bench.networks.split import Prefix, suffix
from tests.support.recordings import tone

NETWORKS = ("spectrogram:test_efficientnet.untrained", "audio_cnn.untrained", "speech_embedding.untrained")


@pytest.mark.parametrize("frequency", [250, 1000, 4000])
def test_a_tone_is_loudest_in_its_band(frequency: int) -> None:
    """Bands are even in mel from 60 to 7,800 Hz: their middles are computed anew here, by the formula."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (60, 7800))
    mel = 2595 * math.log10(1 + frequency / 700)
    expected = (mel - low) / (high - low) * 65 - 1
    picture = LogMel()(torch.from_numpy(tone(1.0, frequency, frequency)).float()[None])
    assert picture.shape == (1, 1, 64, 100)
    assert abs(int(picture[0, 0, :, 50].argmax()) - expected) <= 1
    assert float(picture.max()) == pytest.approx(1)
    assert float(picture.min()) >= 0


def test_how_loud_a_recording_is_makes_no_difference() -> None:
    x = torch.from_numpy(tone(0.5, 300, 2000)).float()[None]
    x = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LogMel()(x), LogMel()(0.1 * x), rtol=0, atol=1e-4)


def test_twenty_decibels_are_a_quarter_of_the_range() -> None:
    """A part at a tenth of the amplitude is 20 of 80 dB below the loudest."""
    x = tone(1.0, 1000, 1000)
    x[8000:] /= 10
    picture = LogMel()(torch.from_numpy(x).float()[None])[0, 0].amax(0)
    assert float(picture[25] - picture[75]) == pytest.approx(0.25, abs=0.002)


def test_silence_is_a_picture_and_gradients_flow() -> None:
    assert LogMel()(torch.zeros(2, 1600)).isfinite().all()
    x = torch.from_numpy(tone(0.2, 500, 900)).float()[None].requires_grad_()
    (gradient,) = torch.autograd.grad(LogMel()(x).sum(), x)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_filters_are_triangles_that_add_up() -> None:
    filters = mel_filters(40, 300, 7000)
    assert filters.shape == (40, 257)
    assert float(filters.max()) <= 1
    middle = filters[:, 20:200].sum(0)
    torch.testing.assert_close(middle, torch.ones_like(middle), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_recordings(name: str) -> None:
    check_backbone(name)
    check_family(name, "audio")
    check_image_size(name, 1000)
    assert untrained(name) == name
    backbone = create_backbone(name, 1000).eval()
    assert backbone(torch.randn(2, 16_000)).shape == (2, backbone.num_features)
    assert backbone.stages == [*backbone.widths]


@pytest.mark.parametrize("name", NETWORKS)
def test_they_split_at_every_stage(name: str) -> None:
    """What is kept at a split point and goes on from there is what the whole network says."""
    backbone = create_backbone(name).eval()
    x = torch.randn(2, 16_000)
    whole = backbone(x)
    for stage in backbone.stages:
        upper = suffix(backbone, stage, example(name, 1000)).eval()
        upper.name = name
        torch.testing.assert_close(upper(Prefix(backbone, stage)(x)), whole, rtol=1e-3, atol=1e-4)
        assert upper.channel_axis == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("spectrogram:resnet81", "unknown backbone 'resnet81'"),
        ("spectrogram:hf-hub:a/b", "not your own"),
        ("audio_cnn", "'audio_cnn.untrained' for random ones"),
        ("speech_embedding.v2", "unknown weights 'v2'"),
    ],
)
def test_names_that_are_none(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        check_backbone(name)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"cannot take recordings of 500 ms .*shortest are of 800 ms"):
        check_image_size("speech_embedding", 500)
    with pytest.raises(UserError, match="cannot take recordings of 1000 ms"):
        check_image_size("spectrogram:vit_tiny_patch16_224.untrained", 1000)
    with pytest.raises(UserError, match="takes images, and these are recordings"):
        check_family("resnet18", "audio")


def test_weights_of_an_image_network_are_the_same_file() -> None:
    name = "tf_efficientnet_lite0"
    assert family_of(f"spectrogram:{name}") == "audio"
    assert weights_digest(f"spectrogram:{name}") == weights_digest(name)
    assert not needs_hub(f"spectrogram:{name}")
    assert not needs_hub("speech_embedding")
    assert weights_digest("speech_embedding")


def test_the_speech_embedding_says_what_its_file_does() -> None:
    """Numbers by onnxruntime 1.32 on the two files in a row, int16 samples in, of windows 0, 8 and 16."""
    try:
        for file, _ in FROM_PACKAGES["speech_embedding"].files:
            FROM_PACKAGES["speech_embedding"].member(file).read(download=False)
    except NotHere as reason:
        pytest.skip(str(reason))
    time = np.arange(16_000) / 16_000
    noise = np.random.default_rng(0).standard_normal(16_000)
    x = 3000 * np.sin(2 * np.pi * (300 + 200 * time) * time) + 500 * noise
    features = create_backbone("speech_embedding").eval()(torch.from_numpy(x / 32768).float()[None])
    expected = [-14.475014, 39.788837, -6.301337, 0.82898974, 5.2294483, 13.718635]
    np.testing.assert_allclose(features[0, :6].detach(), expected, atol=1e-3)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _model() -> bytes:
    """A model with a float tensor (2, 1) called `w`, and one of whole numbers."""
    raw = struct.pack("<2f", 1.5, -2.0)
    weight = bytes([1 << 3, 2, 1 << 3, 1, 2 << 3, 1]) + _field(8, b"w") + _field(9, raw)
    others = bytes([1 << 3, 1, 2 << 3, 7]) + _field(8, b"n") + _field(9, bytes(8))
    return bytes([1 << 3, 7]) + _field(7, _field(5, weight) + _field(5, others))


def test_tensors_of_an_onnx_file() -> None:
    (name, array), *others = read_tensors(_model()).items()
    assert name == "w"
    assert not others
    np.testing.assert_array_equal(array, [[1.5], [-2.0]])


@pytest.mark.parametrize("length", range(3, 40))
def test_damaged_onnx_files_are_refused_or_hold_less(length: int) -> None:
    cut = _model()[:length]
    with suppress(UserError):
        assert set(read_tensors(cut)) <= {"w"}
