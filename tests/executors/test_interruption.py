"""Ctrl-C and SIGTERM: said in one line, nothing that was recorded is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.store import Store
from tests.support.checkout import ROOT

SAYS = {
    signal.SIGINT: ("interrupted", 130),
    signal.SIGTERM: ("terminated", 143),
    signal.SIGHUP: ("terminated", 129),
}


@pytest.mark.parametrize("signum", SAYS)
def test_what_is_recorded_is_kept(tmp_path: Path, signum: signal.Signals) -> None:
    command = [sys.executable, "-m", "bench", "run", "--suite", "smoke", "--methods", "full-finetune"]
    command += ["--backbone", "test_efficientnet.untrained", "--seeds", "0,1,2,3,4,5,6,7"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        # Where tests run under `nohup` or in the background of a shell, it has some ignored.
        preexec_fn=lambda: signal.signal(signum, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/24]"):
            break
    process.send_signal(signum)
    rest = process.stderr.read()
    word, code = SAYS[signum]
    assert process.wait() == code, rest
    assert "Traceback" not in rest
    said = re.search(rf"^{word}: (\d+) of 24 cells recorded; the same command goes on", rest, re.M)
    assert said, rest
    kept = [record.key for record in Store(tmp_path / "results/smoke").records()]
    assert 1 <= int(said[1]) == len(kept) < 24
    assert not [*tmp_path.rglob(".tmp-*"), *tmp_path.rglob("*.lock")]
    # The rest of the cells would add time and nothing else.
    few = [*command[:-1], *(["0,1,2"] if signum == signal.SIGTERM else ["0,1,2,3"])]
    again = subprocess.run(few, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    recorded = re.search(r"(\d+) cells, (\d+) recorded, (\d+) to run", again.stdout)
    assert recorded
    assert int(recorded[2]) >= 1
    assert int(recorded[1]) == int(recorded[2]) + int(recorded[3])
