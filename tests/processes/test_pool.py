"""Processes that work for another one, and end with it."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from bench.processes import pool
from bench.processes.pool import in_processes
from tests.support.checkout import python


def note(folder: Path, _: int) -> None:
    """Leave this process's number, and stay."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


DIES = """
import os, signal, sys, threading, time
from functools import partial
from pathlib import Path
from bench.processes import pool
from tests.processes.test_pool import note

folder = Path(sys.argv[1])

def die():
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=die).start()
pool.processors = lambda: 2
list(pool.in_processes(partial(note, folder), range(2), 2))
"""


def test_they_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    python("-c", DIES, str(tmp_path / "pids"), cwd=tmp_path)
    left = {int(path.name) for path in (tmp_path / "pids").iterdir()}
    assert len(left) == 2
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if psutil.pid_exists(pid)}
        time.sleep(0.1)
    assert not left


def reciprocal(x: int) -> float:
    return 1 / x


def test_errors_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "processors", lambda: 2)
    assert list(in_processes(reciprocal, [1, 2, 4], 2)) == [1, 0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        list(in_processes(reciprocal, [1, 0, 4], 2))
    assert list(in_processes(partial(pow, 2), range(9), 2)) == [2**n for n in range(9)]
