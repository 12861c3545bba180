from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.core.text import counted, file_name, name_fault, printable, private
from bench.spec.matrix.suite import Suite

ANYTHING = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Text, ä 😀", "plain Text, ä 😀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\tc\x07", "a\\rb\\tc\\x07"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("two\nlines", "two\nlines"),
        ("\udcff", "\\udcff"),
        ("\u200b\u2028", "\\u200b\\u2028"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANYTHING)
def test_what_is_printable_can_be_printed(text: str) -> None:
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    shown.encode()
    assert printable(shown) == shown


@given(ANYTHING)
def test_a_file_name_names_one_file_right_here(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name.encode()) <= 80
    assert Path(name).parts == (name,)
    assert name not in (".", "..")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@given(ANYTHING, ANYTHING)
def test_different_texts_have_different_names(a: str, b: str) -> None:
    assert (file_name(a) == file_name(b)) == (a == b)


def test_twins_have_different_names() -> None:
    twins = ["Café", unicodedata.normalize("NFD", "Café"), "café", "cafe", "CAFE", "x" * 300, "x" * 301]
    assert len({file_name(text).lower() for text in twins}) == len(twins)
    assert file_name("google-2") == "google-2"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".", "..", ".hidden", "a\x1bb", "x" * 101, "C:x"]
)
def test_names_that_a_results_folder_cannot_have(name: str) -> None:
    assert name_fault(name)
    known = {
        "description": "d",
        "backbones": ["b"],
        "methods": ["m"],
        "scenarios": [{"kind": "cross-domain", "shots": [1]}],
    }
    Suite(name="my suite, v2.1", **known)
    with pytest.raises(ValidationError, match="cannot name a results folder"):
        Suite(name=name, **known)


def test_counted() -> None:
    assert [counted(n, "fault") for n in (0, 1, 2)] == ["0 faults", "1 fault", "2 faults"]
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]


def test_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "jane", tmp_path / "jane" / "work"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    for name, value in {"MY_TOKEN": "abcdef", "db_password": "abcdefgh", "AWS_KEY": "xyz"}.items():
        monkeypatch.setenv(name, value)
    told = {
        f"cannot read '{home}/photos/a b.jpg'": "cannot read '~/photos/a b.jpg'",
        f"in {here}/mine/x.py": "in mine/x.py",
        f'File "{home}/.venv/lib/python3/site-packages/torch/nn.py", line 7': (
            'File "site-packages/torch/nn.py", line 7'
        ),
        "Bearer abcdef and abcdefgh": "Bearer $MY_TOKEN and $db_password",
        "xyz is too short to be told from words": "xyz is too short to be told from words",
        f"/backup{home}/x": f"/backup{home}/x",
        "no paths at all": "no paths at all",
    }
    assert {text: private(text) for text in told} == told
