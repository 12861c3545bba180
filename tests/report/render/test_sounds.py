"""Pictures and sounds of recordings on a page: bounded, and of what is heard."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest

from bench.report.render.sounds import sound_uri, spectrum_picture


def tone(frequency: float, seconds: float) -> np.ndarray:
    time = np.arange(round(16_000 * seconds)) / 16_000
    return np.round(3000 * np.sin(2 * np.pi * frequency * time)).astype(np.int16)


@pytest.mark.parametrize("frequency", [500, 3000])
def test_a_tone_is_a_dark_line_at_its_height(frequency: int) -> None:
    """Two of 256 frequencies up to 8 kHz are a pixel, from the bottom up."""
    picture = spectrum_picture(tone(frequency, 0.5))
    assert (picture.dtype, picture.shape) == (np.uint8, (96, 50, 3))
    row = int(picture[:, 20, 0].argmin())
    assert abs((95 - row) - frequency / 8000 * 128) <= 1
    assert picture[row, 20, 0] == 0
    assert picture.max() == 255


def test_long_ones_are_cut_and_silent_ones_are_shown() -> None:
    assert spectrum_picture(tone(500, 30)).shape == (96, 240, 3)
    assert spectrum_picture(np.zeros(10, np.int16)).shape[0] == 96
    for samples, count in ((tone(500, 30), 16_000), (np.zeros(0, np.int16), 0)):
        content = base64.b64decode(sound_uri(samples).removeprefix("data:audio/wav;base64,"))
        with wave.open(io.BytesIO(content)) as sound:
            assert sound.getnframes() == count


def test_what_is_played_is_as_loud_as_it_can_be() -> None:
    content = base64.b64decode(sound_uri(tone(500, 0.1)).removeprefix("data:audio/wav;base64,"))
    with wave.open(io.BytesIO(content)) as sound:
        heard = np.frombuffer(sound.readframes(800), np.uint8)
    assert (heard.min(), heard.max()) == (1, 255)
