from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.records.leases import Leases

HOLD = """
import sys
from pathlib import Path
from bench.records.leases import Leases
leases = Leases(Path("."), {lease})
print(leases.take("k"), flush=True)
sys.stdin.read()
"""


def holder(folder: Path, lease: float = 60.0) -> subprocess.Popen[str]:
    """A process that holds the lease of `k`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(lease=lease)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    mine, other = Leases(tmp_path), Leases(tmp_path)
    assert mine.take("a")
    assert not other.take("a")
    assert other.take("b")
    mine.release("a")
    assert other.take("a")
    with mine.holding("a") as held:
        assert not held
    other.release("a")
    with mine.holding("a") as held:
        assert held
        assert mine.others() == ["b"]
    other.release("b")
    assert list(mine.folder.iterdir()) == []


def test_releasing_what_one_does_not_hold(tmp_path: Path) -> None:
    mine, other = Leases(tmp_path), Leases(tmp_path)
    assert mine.take("a")
    assert not other.take("a")
    other.release("a")
    other.release("never seen")
    assert not other.take("a")


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path)
    mine = Leases(tmp_path)
    assert not mine.take("k")
    process.kill()
    process.wait()
    assert mine.others() == []
    assert mine.take("k")


def test_a_process_that_stands_still_loses_its_lease_and_one_that_lives_does_not(tmp_path: Path) -> None:
    process = holder(tmp_path, lease=1.0)
    mine = Leases(tmp_path, 1.0)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert not mine.take("k"), "it is touched as long as its process lives"
        time.sleep(0.1)
    os.kill(process.pid, 19)  # SIGSTOP
    try:
        while not mine.take("k"):
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def test_clocks_that_go_backwards_do_no_harm(tmp_path: Path) -> None:
    """A lease from the future is no more alive, and one from the past no less, than any other."""
    mine, other = Leases(tmp_path, 1.0), Leases(tmp_path, 1.0)
    assert mine.take("a")
    for when in (0, 4e9):
        os.utime(tmp_path / "leases" / "a.lock", (when, when))
        assert not other.take("a")


def test_damaged_leases_do_not_block_for_ever(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    path = tmp_path / "leases" / "a.lock"
    path.write_bytes(b"\xff\x00 nonsense")
    os.utime(path, (0, 0))
    mine = Leases(tmp_path)
    until = time.monotonic() + 30
    while not mine.take("a"):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_lease_that_was_half_written_is_free_for_maintenance_too(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    for key in ("a", "b"):
        (tmp_path / "leases" / f"{key}.lock").touch()
    with Leases(tmp_path).holding("a") as held:
        assert held
    assert Leases(tmp_path).others() == []


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "leases").write_text("")
    with pytest.raises(UserError, match="cannot lease cells"):
        Leases(tmp_path).take("a")
