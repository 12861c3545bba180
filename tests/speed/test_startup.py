"""How long the command line takes to answer. `make speed` runs these; they assert nothing about time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

COMMANDS = {
    "bare python": ["-c", "pass"],
    "help": ["-m", "bench", "--help"],
    "list suites": ["-m", "bench", "list", "suites"],
    "plan of 168 cells": ["-m", "bench", "run", "--suite", "emoji-home", "--no-controls", "--plan"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(name: str, benchmark: Callable[..., Any]) -> None:
    benchmark.group = "start-up"  # type: ignore[attr-defined]
    command = [sys.executable, *COMMANDS[name]]
    done = benchmark.pedantic(  # type: ignore[attr-defined]
        lambda: subprocess.run(command, check=True, capture_output=True), rounds=5, warmup_rounds=1
    )
    assert done.returncode == 0
