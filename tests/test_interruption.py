"""Ctrl-C: said in one line, nothing that was recorded is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from bench.store import Store
from tests.support import ROOT


def test_ctrl_c_keeps_what_is_recorded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "run", "--suite", "smoke", "--methods", "full-finetune"]
    command += ["--backbone", "test_efficientnet.untrained", "--seeds", "0,1,2,3,4,5,6,7"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/24]"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "Traceback" not in rest
    said = re.search(r"^interrupted: (\d+) of 24 cells recorded; the same command goes on", rest, re.M)
    assert said, rest
    kept = [record.key for record in Store(tmp_path / "results/smoke").records()]
    # The signal may come between a record's writing and its counting.
    assert 1 <= int(said[1]) <= len(kept) <= int(said[1]) + 1
    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert f"{len(kept)} recorded, {24 - len(kept)} to run" in again.stdout
