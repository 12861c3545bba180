"""Corruptions of images: by hand where that can be done, and domains that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.commands.data.preview import contact_sheets
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.corruptions.base import motion, zoomed
from bench.data.corruptions.domains import KINDS, Corruption
from bench.data.corruptions.kinds import BY_NAME, corrupt
from bench.data.dataset import Dataset, open_dataset, silent
from bench.data.doctor.examine import examine
from bench.data.splits import splits

RANDOM = np.random.default_rng(0)
FOG = Corruption("twitter", "fog", 3)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth colours, with an edge."""
    ramp = np.linspace(40, 220, 64)
    image = np.stack(
        [np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90)], axis=-1
    )
    image[20:40, 20:40] = (200, 30, 60)
    return image.astype(np.uint8)


def changed(picture: np.ndarray, kind: str, severity: int) -> float:
    images = [corrupt(picture, str(number), kind, severity) for number in range(4)]
    return float(np.mean([np.abs(image.astype(float) - picture).mean() for image in images]))


def test_there_are_the_fifteen_of_the_paper() -> None:
    assert tuple(BY_NAME) == KINDS
    assert len(KINDS) == 15


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_depends_on_the_content_alone(kind: str, picture: np.ndarray) -> None:
    first, again, other = (corrupt(picture, digest, kind, 3) for digest in ("a", "a", "b"))
    assert (first.shape, first.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(first, again)
    draws = {"gaussian-noise", "shot-noise", "impulse-noise", "glass-blur", "motion-blur", "snow", "frost"}
    draws |= {"fog", "elastic-transform"}
    assert np.array_equal(first, other) != (kind in draws)


@pytest.mark.parametrize("kind", KINDS)
def test_higher_severities_change_more(kind: str, picture: np.ndarray) -> None:
    # Affine maps of elastic transforms become smaller as local ones become stronger, as in the paper's.
    if kind != "elastic-transform":
        assert changed(picture, kind, 1) < changed(picture, kind, 5)
    assert all(changed(picture, kind, severity) > 0.1 for severity in range(1, 6))


def test_contrast_and_brightness_by_hand() -> None:
    x = np.array([[[0.2, 0.4, 0.8], [0.6, 0.0, 0.0]]])
    expected = np.array([[[0.36, 0.24, 0.48], [0.44, 0.16, 0.32]]])
    np.testing.assert_allclose(BY_NAME["contrast"](x, 3, RANDOM), expected)
    value = np.array([[[0.5, 0.25, 0.0], [0.0, 0.0, 0.0], [0.9, 0.9, 0.0]]])
    raised = np.array([[[0.8, 0.4, 0.0], [0.3, 0.3, 0.3], [1.0, 1.0, 0.0]]])
    np.testing.assert_allclose(BY_NAME["brightness"](value, 3, RANDOM), raised)


def test_noise_has_the_published_strength() -> None:
    grey = np.full((200, 200, 3), 0.5)
    noisy = BY_NAME["gaussian-noise"](grey, 3, RANDOM) - grey
    assert noisy.std() == pytest.approx(0.12, rel=0.02)
    photons = BY_NAME["shot-noise"](grey, 3, RANDOM)
    assert photons.mean() == pytest.approx(0.5, rel=0.01)
    assert photons.var() == pytest.approx(0.5 / 50, rel=0.03)
    impulses = BY_NAME["impulse-noise"](grey, 3, RANDOM)
    assert (impulses == 0).mean() == pytest.approx(0.025, rel=0.1)
    assert (impulses == 1).mean() == pytest.approx(0.025, rel=0.1)


def point(side: int = 64) -> np.ndarray:
    x = np.zeros((side, side, 1))
    x[side // 2, side // 2] = 1.0
    return x


def test_blurs_of_a_point_by_hand() -> None:
    line = motion(point(), 3, 2.0, 0.0)[32, :, 0]
    weights = np.exp(-(np.arange(4) ** 2) / 8)
    np.testing.assert_allclose(line[32:36], weights / weights.sum())
    assert line[:32].sum() == pytest.approx(0)
    down = motion(point(), 3, 2.0, 90.0)[:, 32, 0]
    np.testing.assert_allclose(down[32:36], line[32:36], atol=1e-12)
    spot = BY_NAME["defocus-blur"](np.repeat(point(), 3, axis=2), 2, RANDOM)[31:34, 31:34, 0]
    np.testing.assert_allclose(spot, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, atol=1e-6)


def test_zooming_keeps_the_middle() -> None:
    ramp = np.tile(np.arange(65.0), (65, 1))[..., None]
    np.testing.assert_allclose(zoomed(ramp, 2.0)[32, :, 0], 32 + (np.arange(65) - 32) / 2)


def test_coarse_pixels_by_hand() -> None:
    x = np.zeros((4, 4, 3))
    x[0, 0] = 1.0
    out = BY_NAME["pixelate"](x, 5, RANDOM)
    np.testing.assert_allclose(out[:2, :2], 64 / 255, atol=1e-9)
    assert out[2:].sum() == out[:, 2:].sum() == 0


# Domains ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset(load_card("emoji-corruptions"))


def test_a_domain_is_the_clean_one_corrupted(dataset: Dataset) -> None:
    assert len(dataset.card.corruptions) == 75
    clean, foggy = dataset.domain("twitter"), dataset.domain(FOG.name)
    pixels, fog = dataset.decoded("twitter", 32), dataset.decoded(FOG.name, 32)
    for row in (0, 7, 1100):
        np.testing.assert_array_equal(fog[row], corrupt(pixels[row], clean.digests[row], "fog", 3))
    assert foggy.content != clean.content
    # Nothing that is tested under fog is trained on without.
    np.testing.assert_array_equal(splits(dataset, clean), splits(dataset, foggy))
    np.testing.assert_array_equal(clean.groups, foggy.groups)


def test_what_is_kept_is_used_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = np.array(dataset.decoded(FOG.name, 32))
    monkeypatch.setattr(Corruption, "apply", None)
    again = open_dataset(load_card("emoji-corruptions"))
    np.testing.assert_array_equal(again.decoded(FOG.name, 32), before)


def test_the_doctor_looks_at_each_file_once(dataset: Dataset) -> None:
    diagnosis = examine(dataset)
    assert [row["domain"] for row in diagnosis.domains] == dataset.card.clean_domains
    assert not any("missing" in finding.kind for finding in diagnosis.findings)


def test_a_preview_shows_what_is_trained_on(dataset: Dataset) -> None:
    few = {name: dataset.domains[name] for name in ("twitter", FOG.name)}
    sheets = contact_sheets(Dataset(dataset.card, dataset.fingerprint, "", (), few), silent)
    clean, foggy = (sheets[name][0] for name in few)
    digest = dataset.domain("twitter").digests[int(np.flatnonzero(dataset.domain("twitter").labels == 0)[0])]
    np.testing.assert_array_equal(foggy[:96, :96], corrupt(clean[:96, :96], digest, "fog", 3))


def card(**changes: Any) -> Card:
    known = load_card("emoji-home").model_dump()
    return Card(**{**known, **changes})


def test_bad_tables_are_refused_in_a_line() -> None:
    with pytest.raises(ValidationError, match="there is no corruption 'frog': did you mean 'fog'"):
        card(corrupted=[{"of": "twitter", "kinds": ["frog"]}])
    with pytest.raises(ValidationError, match="no domain 'twiter': did you mean 'twitter'"):
        card(corrupted=[{"of": "twiter", "kinds": ["fog"]}])
    with pytest.raises(ValidationError, match="less than or equal to 5"):
        card(corrupted=[{"of": "twitter", "severities": [6]}])


def test_cards_without_corruptions_are_as_they_were() -> None:
    """Their records would be stale otherwise."""
    home = load_card("emoji-home")
    assert home.digest == card().digest
    assert "corrupted" not in home.model_dump_json(exclude={"corrupted"})
    with_fog = card(corrupted=[{"of": "twitter", "kinds": ["fog"], "severities": [3]}])
    assert with_fog.digest != home.digest
    assert with_fog.domains == [*home.domains, "twitter-fog-3"]
    assert Card(**with_fog.model_dump()).domains == with_fog.domains
