"""Words that a synthesiser says: the same each time, and groups that hold across voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.core.packages import NotHere
from bench.data.catalog import load_card
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.speech.synthesised import Synthesised, _samples

WORDS = ("yes", "no")


@pytest.fixture(scope="module")
def source() -> Synthesised:
    """The card's source with three variants; skipped where the synthesiser is not here."""
    found = load_card("spoken-words").sources[0]
    assert isinstance(found, Synthesised)
    try:
        found._speak("m1", [("yes", 150, 50)])
    except NotHere as reason:
        pytest.skip(str(reason))
    return found.model_copy(update={"variants": 3})


def listing(source: Synthesised) -> Listing:
    return source.listing(SourceRequest("words", ("m1", "f2"), WORDS, Path()))


def test_every_voice_says_every_word_in_each_manner(source: Synthesised) -> None:
    items = listing(source).items()
    assert set(items) == {"m1", "f2"}
    for found in items.values():
        assert [item.label for item in found] == ["yes"] * 3 + ["no"] * 3
        assert [item.group for item in found][2:4] == ["yes-002", "no-000"]
    array = np.load(items["m1"][0].path, allow_pickle=False)
    assert (array.dtype, array.shape) == (np.int16, (6, 16_000))
    assert (np.abs(array).max(1) > 3000).all()
    assert len({row.tobytes() for row in array}) == 6


def test_it_says_the_same_again_in_another_process(
    source: Synthesised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = []
    for name in ("one", "two"):
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / name))
        arrays.append(np.load(listing(source).items()["f2"][0].path, allow_pickle=False))
    np.testing.assert_array_equal(*arrays)


def test_a_voice_that_is_none_is_one_line(source: Synthesised) -> None:
    with pytest.raises(UserError, match="no file of a voice 'nobody'"):
        source._speak("nobody", [("yes", 150, 50)])
    unknown = source.model_copy(update={"language": "xx"})
    with pytest.raises(UserError, match=r"the synthesiser failed: there is no voice 'xx\+m1'"):
        unknown._speak("m1", [("yes", 150, 50)])


def test_an_answer_that_breaks_off_is_refused() -> None:
    whole = np.array([22050, 2], np.uint32).tobytes() + np.array([5, -5], np.int16).tobytes()
    (spoken,), rate = _samples(whole, 1)
    assert rate == 22050
    assert spoken.tolist() == [5, -5]
    for length in (2, 6, len(whole) - 1):
        with pytest.raises(UserError, match="stopped in the middle"):
            _samples(whole[:length], 1)


def test_files_outside_the_distribution_are_not_written(source: Synthesised) -> None:
    bad = source.model_copy(update={"files": {"../x": "0" * 64, **source.files}})
    with pytest.raises(UserError, match="lies outside"):
        bad._speak("m1", [("yes", 150, 50)])


def test_to_look_for_a_copy_says_nothing(
    source: Synthesised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    looking = SourceRequest("words", ("m1",), WORDS, Path(), download=False)
    with pytest.raises(Absent, match="not spoken here yet: python -m bench data fetch words"):
        source.listing(looking)
    listing(source)
    assert source.listing(looking).items()
