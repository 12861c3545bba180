"""A run as somebody at a terminal sees it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.commands.progress import TimeToGo
from bench.spec.cell import Cell
from tests.quick import quick_cell

ROOT = Path(__file__).parents[2]


def test_bars_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bench", "run", "--suite", "smoke", "--methods", "linear-probe"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(
        [*command, "--results", str(tmp_path)], cwd=tmp_path, env=env, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed.
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "all cells" in text
    assert re.search(r"\[3/3\] done linear-probe google → twitter 2-shot", text)
    assert "━" in text
    assert "Traceback" not in text


def cell(method: str, seed: int = 0, shots: int = 0) -> Cell:
    found = quick_cell(seed)
    scenario = found.scenario.model_copy(update={"shots": shots})
    return found.model_copy(update={"method": method, "scenario": scenario})


def test_the_time_to_go_follows_what_cells_were_recorded_to_cost() -> None:
    cheap, dear = [cell("cheap", seed) for seed in range(4)], [cell("dear", seed) for seed in range(2)]
    cost = {"cheap": 10.0, "dear": 100.0}
    time = TimeToGo([*cheap, *dear], lambda cell: cost[cell.method])
    assert time.seconds(0) == 4 * 10 + 2 * 100, "before anything is done, as recorded"
    time.begin(cheap[0], 0)
    assert time.seconds(4) == 240 - 4
    assert time.end(cheap[0], 20, done=True) == 20
    assert time.seconds(20) == 2 * (3 * 10 + 2 * 100), "this machine takes twice as long"
    time.begin(dear[0], 20)
    assert time.end(dear[0], 310, done=True) == 290
    # 310 s for what was predicted to be 110.
    assert time.seconds(310) == pytest.approx((310 / 110) * (3 * 10 + 100))
    time.begin(cheap[1], 310)
    assert time.end(cheap[1], 311, done=False) == 1
    assert time.seconds(311) == pytest.approx((310 / 110) * (2 * 10 + 100)), "a failure tells nothing"
    assert time.end(dear[1], 312, done=False) == 0, "another process ran it"
    for left in cheap[2:]:
        time.end(left, 313, done=False)
    assert time.seconds(313) == 0


def test_the_time_to_go_knows_what_is_made_once() -> None:
    """A head was recorded to take 0.1 s, and the first one makes the features of 30 s for all."""
    heads, dear = [cell("head", seed) for seed in range(3)], cell("dear")
    time = TimeToGo([*heads, dear], lambda cell: 100.0 if cell.method == "dear" else 0.1)
    time.begin(heads[0], 0)
    assert time.end(heads[0], 30.2, done=True, kept=30) == 30.2
    assert time.seconds(30.2) == pytest.approx(2 * (2 * 0.1 + 100)), "0.2 s for what was 0.1"


def test_the_time_to_go_without_records_goes_by_cells_alike() -> None:
    cells = [cell("a", 0), cell("a", 1), cell("a", 2, shots=5), cell("b", 3)]
    time = TimeToGo(cells)
    assert time.seconds(0) is None
    time.begin(cells[0], 0)
    time.end(cells[0], 8, done=True)
    assert time.seconds(8) == 3 * 8
    time.begin(cells[3], 8)
    time.end(cells[3], 12, done=True)
    # One of its kind took 8 s; of its method one took 8 s.
    assert time.seconds(12) == 8 + 8


def test_the_time_to_go_of_several_workers() -> None:
    cells = [cell("a", seed) for seed in range(3)] + [cell("long")]
    time = TimeToGo(cells, lambda cell: 30.0 if cell.method == "long" else 10.0, workers=2)
    assert time.seconds(0) == 30, "more than half of all"
    time.begin(cells[3], 0)
    time.begin(cells[0], 0)
    assert time.seconds(5) == (3 * 10 + 30 - 2 * 5) / 2
    assert time.seconds(40) == 20 / 2, "cells that take longer than predicted are about to end"
