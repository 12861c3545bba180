from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from bench.engine.training import cost
from bench.engine.training.cost import CalibrationUnit, CostTracker, Phases, StageResult, calibration
from bench.processes.clock import work_clock

CPU = torch.device("cpu")


def spin(seconds: float) -> None:
    time.sleep(seconds)


def test_phases_exclude_each_other() -> None:
    phases = Phases(CPU)
    start = work_clock()
    with phases("outer"):
        spin(0.1)
        with phases("inner"):
            spin(0.2)
        spin(0.1)
    whole = work_clock() - start
    assert phases.seconds["outer"] + phases.seconds["inner"] == pytest.approx(whole, rel=0.02)
    assert phases.seconds["inner"] >= 0.2
    assert phases.seconds["outer"] >= 0.2
    assert phases.seconds["outer"] < whole - 0.199


def test_phases_add_up_and_stand_still_between() -> None:
    phases = Phases(CPU)
    with phases("a"):
        spin(0.02)
    once = phases.seconds["a"]
    spin(0.2)
    with phases("a"):
        spin(0.02)
    assert 0.04 <= phases.seconds["a"] < once + 0.2


def test_a_phase_inside_one_of_its_own_name() -> None:
    phases = Phases(CPU)
    start = work_clock()
    with phases("a"), phases("a"):
        spin(0.05)
    whole = work_clock() - start
    assert 0.05 <= phases.seconds["a"] <= whole


def test_a_phase_that_fails_is_timed() -> None:
    phases = Phases(CPU)
    with phases("outer"):
        with contextlib.suppress(KeyError), phases("inner"):
            spin(0.05)
            raise KeyError
        spin(0.05)
    assert phases.seconds["inner"] >= 0.05
    assert phases.seconds["outer"] >= 0.05


def test_stages_are_timed() -> None:
    cost_tracker = CostTracker(CPU)
    seconds = []
    for _ in range(2):
        with cost_tracker.stage("target") as spent:
            spin(0.02)
            with cost_tracker.phases("evaluate"):
                spin(0.1)
        seconds.append(spent())
    assert all(value >= 0.02 for value in seconds)
    cost = cost_tracker.total()
    assert sum(seconds) == pytest.approx(cost.stages["target"].seconds)
    assert cost.seconds["evaluate"] >= 0.2
    assert "target" not in cost.seconds


def test_costs_are_added() -> None:
    cost_tracker = CostTracker(CPU)
    cost_tracker.parameters = 10
    for seconds in (3.0, 4.0):
        cost_tracker.add_shared("features", seconds)
    source = StageResult(seconds=5.0, items={"labelled": 64}, parameters_trained=7)
    cost_tracker.add_stage("source", source, shared=True)
    target = StageResult(seconds=6.0, items={"labelled": 30, "fitted": 2}, parameters_trained=9)
    cost_tracker.add_stage("target", target, shared=False)
    cost = cost_tracker.total()
    assert cost.shared_seconds == {"features": 7.0}
    assert {name: stage.shared_seconds for name, stage in cost.stages.items()} == {
        "source": 5.0,
        "target": 0.0,
    }
    assert cost.streams == {"source/labelled": 64, "target/labelled": 30, "target/fitted": 2}
    assert cost.items_seen == 96
    assert cost.items_per_second == 96 / 5
    assert (cost.parameters, cost.parameters_trained) == (10, 9)
    assert (cost.own_seconds, cost.alone_seconds) == (0.0, 12.0)
    assert not any(cost_tracker.phases.seconds.values()), "only blocks that ran take time"


PEAKS = """
import numpy as np, torch
from bench.engine.training.cost import PeakMemory

def peak():
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    np.ones(256 * 2**20, dtype=np.uint8)
    return before, memory.read()

print(*peak(), *peak())
"""


def test_peak_memory_sees_a_peak_and_forgets_the_one_before() -> None:
    """In a process of its own: what other tests leave to be freed meanwhile would hide a rise."""
    output = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True).stdout
    before, peak, again, peak_again = (int(word) / 2**20 for word in output.split())
    assert peak - before == pytest.approx(256, abs=32)
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert peak - again == pytest.approx(256, abs=32)
        assert peak_again == pytest.approx(peak, abs=32)


def test_a_unit_and_its_error_by_hand() -> None:
    unit = CalibrationUnit.of([0.04, 0.01, 0.02])
    assert unit.seconds == 0.02
    assert unit.error == pytest.approx(math.log(2) * math.sqrt(math.pi / 2) / math.sqrt(3))
    random = np.random.default_rng(0)
    medians = np.log(np.median(random.lognormal(0, 0.2, (4000, 16)), axis=1))
    errors = [CalibrationUnit.of(row.tolist()).error for row in random.lognormal(0, 0.2, (500, 16))]
    assert np.mean(errors) == pytest.approx(medians.std(), rel=0.06), "of 16, as drawn"


def test_short_cells_share_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(cost, "_calibrated", {})
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    threads = torch.get_num_threads()
    first = calibration(CPU)
    assert len(first) == cost.REPEATS
    assert min(first) > 0
    now[0] += cost.FRESH / 2
    assert calibration(CPU) is first
    torch.set_num_threads(threads + 1)
    try:
        assert calibration(CPU) is not first, "of other threads"
    finally:
        torch.set_num_threads(threads)
    now[0] += cost.FRESH
    assert calibration(CPU) is not first
