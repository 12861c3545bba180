from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import UserError, check_name, did_you_mean

NAMES = ["linear-probe", "full-finetune", "dann", "deep-coral"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("dan", "did you mean 'dann'?"),
        ("DANN", "did you mean 'dann'?"),
        ("linear_probe", "did you mean 'linear-probe'?"),
        ("fullfinetune", "did you mean 'full-finetune'?"),
        ("xyz", "choose from: dann, deep-coral, full-finetune, linear-probe"),
        ("", "choose from: dann, deep-coral, full-finetune, linear-probe"),
    ],
)
def test_suggestions(wrong: str, expected: str) -> None:
    assert did_you_mean(wrong, NAMES) == expected


def test_several_close_ones() -> None:
    assert did_you_mean("probe", ["probe-a", "probe-b"]) == "did you mean 'probe-b' or 'probe-a'?"


def test_nothing_to_choose_from() -> None:
    assert did_you_mean("a", []) == "there are none"


def test_check_name() -> None:
    check_name("method", "dann", NAMES)
    check_name("method", "dann", iter(NAMES))
    with pytest.raises(UserError, match=r"^unknown method 'dan': did you mean 'dann'\?$"):
        check_name("method", "dan", iter(NAMES))


@given(st.text(), st.lists(st.text(), max_size=5))
def test_any_text_will_do(name: str, options: list[str]) -> None:
    text = did_you_mean(name, options)
    assert text
    if name in options:
        check_name("thing", name, options)
    else:
        with pytest.raises(UserError):
            check_name("thing", name, options)
