"""A training step beside busy processes; `make speed` runs it. Asserts nothing about time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.processes.openmp import SPIN_COUNT, WAIT_POLICY, waiting
from tests.speed.busy import HOGS, hogs
from tests.speed.served import Served


@pytest.fixture(scope="module")
def stepper() -> Iterator[Served]:
    found = Served("tests.speed.busy", "--steps", unset=(SPIN_COUNT, WAIT_POLICY), environment=waiting())
    yield found
    found.close()


@pytest.mark.parametrize("count", HOGS)
def test_step_beside(count: int, stepper: Served, benchmark: Any) -> None:
    benchmark.group = "a training step beside busy processes"
    with hogs(count):
        assert benchmark.pedantic(stepper.seconds, rounds=3) > 0
