"""Recordings: one rate, one length, whatever the file; and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from bench.core.errors import UserError
from bench.core.waveforms import AUDIO_RATE, resample
from bench.data.decoders import audio
from bench.data.decoders.base import Unreadable
from bench.data.own import own_card
from tests.support.recordings import TONES, VOICES, tone, two_voices, write_wav


def test_a_recording_of_the_right_rate_and_length_stays_as_it_is(tmp_path: Path) -> None:
    samples = tone(0.3, 400, 400)
    decoded = audio.decode(write_wav(tmp_path / "a.wav", samples), 300)
    assert (decoded.dtype, decoded.shape) == (np.int16, (4800,))
    np.testing.assert_array_equal(
        decoded, np.round(np.round(samples * 32767) / 32768 * 32767).astype(np.int16)
    )


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_tone_of_another_rate_is_the_same_tone(tmp_path: Path, rate: int) -> None:
    """1,000 Hz is below half of every rate. Not looked at are the ends, where the tone breaks off."""
    found = audio.decode(write_wav(tmp_path / "a.wav", tone(0.5, 1000, 1000, rate), rate), 500) / 32767
    expected = tone(0.5, 1000, 1000)
    assert len(found) == len(expected)
    assert np.abs(found - expected)[400:-400].max() < 0.01


def test_resampling_drops_what_the_rate_cannot_hold() -> None:
    above, below = tone(1.0, 12_000, 12_000, 48_000), tone(1.0, 3000, 3000, 48_000)
    assert np.abs(resample(above, 48_000)).max() < 1e-9
    np.testing.assert_allclose(resample(below, 48_000), tone(1.0, 3000, 3000), atol=1e-9)


def test_the_middle_is_kept_and_silence_put_around(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(1600), np.full(1600, 0.5), np.zeros(1600)])
    path = write_wav(tmp_path / "a.wav", samples)
    assert (audio.decode(path, 100) > 16000).all()
    longer = audio.decode(path, 500)
    assert longer.shape == (8000,)
    np.testing.assert_array_equal(np.flatnonzero(longer), np.arange(3200, 4800))


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
def test_samples_of_every_width_are_as_loud(kind: str) -> None:
    values = np.full(1600, 0.5)
    scale = {"uint8": lambda x: x * 128 + 128, "int16": lambda x: x * 2**15, "int32": lambda x: x * 2**31}
    file = io.BytesIO()
    wavfile.write(file, AUDIO_RATE, scale.get(kind, lambda x: x)(values).astype(kind))
    np.testing.assert_allclose(audio.decode(file.getvalue(), 100), 16384, atol=1)


def test_channels_are_averaged() -> None:
    file = io.BytesIO()
    wavfile.write(file, AUDIO_RATE, np.stack([np.full(1600, 8000), np.full(1600, 4000)], 1).astype(np.int16))
    np.testing.assert_allclose(audio.decode(file.getvalue(), 100), 6000, atol=1)


def _wav(samples: np.ndarray, rate: int = AUDIO_RATE) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "no samples": (_wav(np.zeros(0, np.int16)), "no samples"),
    "cut off": (_wav(np.zeros(1600, np.int16))[:1000], "EOF|cut|[Ii]ncomplete|buffer"),
    "no numbers": (_wav(np.full(1600, np.nan, np.float32)), "no numbers"),
    "rate": (_wav(np.zeros(1600, np.int16), 10), "10 samples a second"),
    "header alone": (b"RIFF\x00\x00\x00\x00WAVE", "."),
    "a text": (b"hello, this is no recording", "."),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_ones_are_refused_in_a_line(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=f"cannot read recording .*a.wav: .*{reason}") as error:
        audio.decode(path, 100)
    assert "\n" not in str(error.value)


def test_long_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MOST_NUMBERS", 1000)
    with pytest.raises(Unreadable, match="more than 0 million samples"):
        audio.decode(_wav(np.zeros(1600, np.int16)), 100)


@pytest.mark.parametrize("form", ["FLAC", "OGG"])
def test_other_formats_with_soundfile(form: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, tone(0.5, 1000, 1000, 22050), 22050, format=form)
    found = audio.decode(file.getvalue(), 500) / 32767
    assert np.abs(found - tone(0.5, 1000, 1000))[800:-800].max() < 0.05


def test_a_folder_of_recordings_has_a_card(tmp_path: Path) -> None:
    card = own_card(two_voices(tmp_path / "voices"))
    assert card.modality == "audio"
    assert card.title == "Own recordings: voices"
    assert set(card.domains) == set(VOICES)
    assert set(card.classes) == set(TONES)


def _few(folder: Path) -> None:
    two_voices(folder, each=2)


def _nothing(folder: Path) -> None:
    folder.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [(_few, "with 3 recordings or more in every domain"), (_nothing, "no images in .*, nor recordings")],
)
def test_folders_that_will_not_do(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "voices")
    with pytest.raises(UserError, match=reason):
        own_card(tmp_path / "voices")
