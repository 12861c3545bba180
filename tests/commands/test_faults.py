"""Commands that write under faults of input and output; `make torture` strikes each of their calls."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.torture.faults import strike
from tests.torture.verbs import SLOW, VERBS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None,
    reason="a library is compiled by gcc and preloaded as on Linux",
)


def struck(folder: Path, verbs: Iterable[str], points: int) -> int:
    rows = [*strike(folder, sorted(verbs), points)]
    harmed = {f"{row.verb}: {row.kind}": row.examples for row in rows if row.harms}
    assert not harmed
    return sum(row.points for row in rows)


def test_a_fault_at_any_call_loses_nothing_and_the_same_command_completes(tmp_path: Path) -> None:
    assert struck(tmp_path, VERBS.keys() - SLOW, 2) > 150


@pytest.mark.slow
def test_a_fault_within_a_run_loses_nothing_and_the_same_command_completes(tmp_path: Path) -> None:
    assert struck(tmp_path, SLOW, 3) > 120
