"""Some of what `make torture` does at length: no nonsense ends in a traceback, a write or a program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.torture.fuzz import TARGETS
from tests.torture.guard import guarded


@pytest.mark.parametrize("target", TARGETS)
def test_nonsense(target: str) -> None:
    assert TARGETS[target](25) >= 25


def test_the_guard_sees(tmp_path: Path) -> None:
    """A guard that saw nothing would pass everything."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    with guarded(inside) as broken:
        (inside / "fine").write_text("")
        assert not broken
        outside.write_text("")
        os.rename(outside, inside / "moved")
        os.mkdir(inside / ".." / "folder")
        subprocess.run(["true"], check=True)
    assert [line.split()[0] for line in broken] == ["open", "os.rename", "os.mkdir", "subprocess.Popen"]
