"""The doctor hears every fault that was planted, and none in sound recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.data.dataset import open_dataset
from bench.data.doctor.examine import Diagnosis, examine
from bench.data.own import own_card
from tests.support.recordings import tone, two_voices, write_wav


def diagnosis(folder: Path) -> Diagnosis:
    own_card.cache_clear()
    return examine(open_dataset(own_card(folder)))


def test_nothing_is_wrong_with_sound_recordings(tmp_path: Path) -> None:
    found = diagnosis(two_voices(tmp_path / "voices", each=4))
    assert found.healthy
    assert not found.findings
    assert [row["recordings"] for row in found.domains] == [8, 8]
    assert found.domains[0]["seconds"] == pytest.approx(0.21, abs=0.01)


def silent(path: Path) -> None:
    write_wav(path, np.zeros(4000))


def clipped(path: Path) -> None:
    write_wav(path, (4 * tone(0.3, 500, 600)).clip(-1, 1))


def another_rate(path: Path) -> None:
    write_wav(path, tone(0.3, 500, 600, 8000), 8000)


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("plant", "kind", "level"),
    [
        (silent, "silence", "fault"),
        (clipped, "clipping", "note"),
        (another_rate, "sampling rates", "note"),
        (damaged, "truncated", "fault"),
        (empty, "empty file", "fault"),
    ],
)
def test_it_finds_what_was_planted(
    tmp_path: Path, plant: Callable[[Path], None], kind: str, level: str
) -> None:
    folder = two_voices(tmp_path / "voices", each=4)
    plant(folder / "low" / "rising" / "2.wav")
    (finding,) = diagnosis(folder).findings
    assert (finding.kind, finding.level) == (kind, level)
    if kind != "sampling rates":
        assert "rising/2.wav" in finding.images[0]
        assert "1 recording" in finding.message
