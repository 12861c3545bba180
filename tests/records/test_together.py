"""Every command on a results folder beside every other, with kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.pairs import PAIRS, together


@pytest.mark.parametrize("pair", PAIRS, ids=" + ".join)
def test_two_commands_at_once(pair: tuple[str, str], tmp_path: Path) -> None:
    together(tmp_path / "folder", pair, seed=PAIRS.index(pair))
