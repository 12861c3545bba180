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
from bench.engine.training.cost import CostTracker, Phases, Unit, calibration

CPU = torch.device("cpu")


def spin(seconds: float) -> None:
    time.sleep(seconds)


def test_phases_exclude_each_other() -> None:
    phases = Phases(CPU)
    start = time.perf_counter()
    with phases("outer"):
        spin(0.1)
        with phases("inner"):
            spin(0.2)
        spin(0.1)
    whole = time.perf_counter() - start
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
    start = time.perf_counter()
    with phases("a"), phases("a"):
        spin(0.05)
    whole = time.perf_counter() - start
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


def test_ledger_spends() -> None:
    cost_tracker = CostTracker(CPU)
    costs: list[dict[str, float]] = [{}, {}]
    for spent in costs:
        with cost_tracker.spend("target-stage", spent):
            spin(0.02)
            with cost_tracker.phases("evaluate"):
                spin(0.1)
    assert all(cost["seconds"] >= 0.02 for cost in costs)
    assert sum(cost["seconds"] for cost in costs) == pytest.approx(
        cost_tracker.phases.seconds["target-stage"]
    )
    assert cost_tracker.phases.seconds["evaluate"] >= 0.2


def test_ledger_books_what_was_shared() -> None:
    cost_tracker = CostTracker(CPU)
    cost_tracker.enter("features", {"seconds": 3.0, "parameters": 10}, shared=True)
    cost_tracker.enter("features", {"seconds": 4.0, "parameters": 10}, shared=True)
    cost_tracker.enter(
        "source-stage",
        {"seconds": 5.0, "streams": {"source/labelled": 64}, "parameters_trained": 7},
        shared=True,
    )
    cost_tracker.enter(
        "target-stage",
        {"seconds": 6.0, "streams": {"target/labelled": 30, "target/fitted": 2}, "parameters_trained": 9},
        shared=False,
    )
    assert cost_tracker.shared_seconds == {"features": 7.0, "source-stage": 5.0}
    assert cost_tracker.items_seen == 96
    assert cost_tracker.parameters == 10
    assert cost_tracker.parameters_trained == 9
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
    unit = Unit.of([0.04, 0.01, 0.02])
    assert unit.seconds == 0.02
    assert unit.error == pytest.approx(math.log(2) * math.sqrt(math.pi / 2) / math.sqrt(3))
    random = np.random.default_rng(0)
    medians = np.log(np.median(random.lognormal(0, 0.2, (4000, 16)), axis=1))
    errors = [Unit.of(row.tolist()).error for row in random.lognormal(0, 0.2, (500, 16))]
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
