"""The live page, through the command line as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.records.store import Store
from tests.report import synthetic
from tests.support.checkout import ROOT

PATIENCE = 120.0


def get(address: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.3)


@pytest.fixture
def served(store: Store) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    synthetic.fill(store, {"linear-probe": 20}, shots=[5])
    command = [sys.executable, "-m", "bench", "report", "--serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--results", str(store.root)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        # Where tests run in the background of a shell, it has interruptions ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stdout
    found = re.match(r"(http://127\.0\.0\.1:\d+/) shows", process.stdout.readline())
    assert found
    yield found[1], process
    process.kill()
    process.wait()


def test_a_page_that_follows_its_records(store: Store, served: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = served
    assert "being built" in get(address)
    wait_for(lambda: '<p class="kicker">toy-suite' in get(address))
    page = get(address)
    assert "connect-src 'self'" in page
    version = get(f"{address}version")
    assert f'const known = "{version}"' in page
    for path, host in (("", "example.org"), ("records", "")):
        with pytest.raises(urllib.error.HTTPError):
            get(address + path, **({"Host": host} if host else {}))
    synthetic.fill(store, {"dann": 30}, shots=[5])
    wait_for(lambda: "dann" in get(address))
    wait_for(lambda: get(f"{address}version") != version)
    # The clock was ahead, and was set right before a record was replaced.
    version, ahead = get(f"{address}version"), time.time() + 3600
    for path in store.files():
        os.utime(path, (ahead, ahead))
    wait_for(lambda: get(f"{address}version") != version)
    assert "62.5" not in get(address)
    synthetic.fill(store, {"linear-probe": 25}, shots=[5])
    wait_for(lambda: "62.5" in get(address))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 0


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "report", "--serve", "--results", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no results folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
