from __future__ import annotations

import pytest

from bench.core.text import counted
from bench.report.scores.bootstrap import Interval
from bench.report.tables import formats


@pytest.mark.parametrize(
    ("value", "text"), [(3.14, "+3.1"), (-0.44, "−0.4"), (-0.04, "+0.0"), (None, "–"), (float("nan"), "–")]
)
def test_points(value, text) -> None:
    assert formats.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.10 s"),
        (0, "0.00 s"),
        (0.421, "0.42 s"),
        (12.34, "12.3 s"),
        (186, "3.1 min"),
        (8640, "2.4 h"),
        (None, "–"),
    ],
)
def test_seconds(value, text) -> None:
    assert formats.seconds(value) == text


def test_words() -> None:
    assert formats.interval(Interval(-1.04, 2.0), signed=True) == "−1.0 to +2.0"
    assert formats.percent(None) == "–"
    assert counted(1, "cell") == "1 cell"
    assert formats.listed(["a", "b", "c"]) == "a, b and c"
    assert formats.listed([]) == ""
    assert formats.listed(list("abcd"), most=2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.38, "2.6× faster"),
        (2.0, "2.0× slower"),
        (0.97, "as fast"),
        (0.01, "100× faster"),
        (None, "–"),
        (0, "–"),
    ],
)
def test_pace(share, text) -> None:
    assert formats.pace(share) == text
