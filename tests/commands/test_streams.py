"""Standard streams that are closed, closed midway, or of an encoding that cannot say everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, bench

RUN = ("run", "--suite", "smoke", "--methods", "linear-probe", "--backbone", "test_efficientnet.untrained")


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", **changes}


def test_a_reader_that_goes_does_not_change_what_is_computed(tmp_path: Path) -> None:
    """As of `bench run | head -1`, in ASCII."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *RUN],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("suite smoke: 3 cells")
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0, said
    assert "Traceback" not in said
    assert "\\u2192" in said, "an arrow"
    assert "[3/3] done" in said
    assert (tmp_path / "results/smoke/report.html").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_any_encoding(tmp_path: Path, encoding: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "bench", "list", "suites"],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding, COLUMNS="60"),
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert b"emoji-home" in process.stdout
    process = bench("run", "--suite", "sm→ke", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert process.returncode == 2
    assert "did you mean 'smoke'" in process.stderr


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">&- 2>&-", ">&-", "2>&-", "> /dev/null"])
def test_closed_streams(tmp_path: Path, redirection: str) -> None:
    process = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m bench list suites {redirection}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""


@pytest.mark.parametrize(
    ("limit", "words"), [("-n 8", "open files (ulimit -n)"), ("-v 400000", "a worker process did not start")]
)
def test_limits_of_the_system_are_one_line(tmp_path: Path, limit: str, words: str) -> None:
    process = subprocess.run(
        ["sh", "-c", f"ulimit {limit}; exec '{sys.executable}' -m bench {' '.join(RUN)}"],
        cwd=tmp_path,
        env=environment(OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        check=False,
        text=True,
    )
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith("error: "), process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    assert words in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", [("list", "methods"), RUN], ids=["list", "run"])
def test_a_full_disk_under_the_output_stops_nothing_and_is_told(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-u", "-m", "bench", *command],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "error: cannot write to standard output: No space left on device; a part of it is lost\n"
    assert found.returncode == 1
    assert found.stderr.endswith(said)
    assert found.stderr.count("error") == 1
    if command == RUN:
        assert (tmp_path / "results/smoke/report.html").is_file()
