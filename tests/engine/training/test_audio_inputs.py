"""Inputs of recordings: what augmentation does to a waveform, and that a seed decides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.engine.training.inputs.audio import STRONG, AudioInputs, SpecAugment, audio_inputs
from bench.engine.training.inputs.base import InputsRequest

CPU = torch.device("cpu")


def noise(count: int = 4, length: int = 8000) -> np.ndarray:
    random = np.random.default_rng(0).integers(-20_000, 20_000, (count, length), dtype=np.int16)
    return np.asarray(random)


def inputs(augment: str) -> AudioInputs:
    asked = (noise(), 500, "audio_cnn.untrained", augment, CPU, False)
    return audio_inputs(InputsRequest(*asked, reference=noise))


def test_samples_are_from_minus_one_to_one() -> None:
    found = inputs("spec-augment").take(np.array([2, 0]))
    np.testing.assert_array_equal(found, noise()[[2, 0]].astype(np.float32) / 32768)
    assert inputs("none").numbers == 8000
    assert len(inputs("none")) == 4


@pytest.mark.parametrize("augment", ["spec-augment", "shift"])
def test_a_seed_decides(augment: str) -> None:
    rows = np.arange(4)
    first, same, other = (inputs(augment).take(rows, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first, same, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert not torch.equal(first, inputs(augment).take(rows))


def test_shifted_ones_are_moved_and_silent_at_one_end() -> None:
    clean = torch.arange(1.0, 101.0).expand(50, 100)
    moved = SpecAugment(moved=0.1)(clean, seed=0)
    shifts = set()
    for row in moved:
        heard = row.nonzero().squeeze(1)
        shift = int(heard[0] - (row[heard[0]] - 1))
        shifts.add(shift)
        torch.testing.assert_close(row[heard], clean[0, heard - shift])
    assert min(shifts) >= -10
    assert max(shifts) <= 10
    assert len(shifts) > 10


def test_masks_of_frequency_take_a_band_away() -> None:
    """Without shifts and spans of silence: one band is gone, and the rest of each spectrum as it was."""
    x = torch.from_numpy(noise(20)).float()
    before, after = torch.fft.rfft(x), torch.fft.rfft(SpecAugment(0.0, 1, span=0.0, band=0.3)(x, 3))
    gone = after.abs() < 1e-3 * before.abs()
    torch.testing.assert_close(after[~gone], before[~gone], rtol=1e-3, atol=1)
    for row in gone:
        places = row.nonzero().squeeze(1)
        assert len(places) == 0 or int(places[-1] - places[0]) + 1 == len(places), "one band"
    assert gone.any(1).float().mean() > 0.8


def test_what_is_silent_around_a_recording_stays_so() -> None:
    x = torch.from_numpy(noise(20)).float() + 0.5
    x[:, :3000] = x[:, 5000:] = 0
    out = SpecAugment(0.0, 1, span=0.0, band=0.3)(x, 3)
    assert not torch.equal(out, x)
    assert not out[:, :3000].any()
    assert not out[:, 5000:].any()
    assert (out[:, 3000:5000] != 0).float().mean() > 0.99


def test_strong_views_lose_more() -> None:
    rows = np.arange(4)
    weak, strong = (inputs("spec-augment").take(rows, 5, strong=s) for s in (False, True))
    assert not torch.equal(weak, strong)
    torch.testing.assert_close(strong, STRONG(inputs("none").take(rows), 5))
