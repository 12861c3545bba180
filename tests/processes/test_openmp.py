"""OpenMP's threads wait as they are told to, in commands and in worker processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes.openmp import waiting
from tests.support.checkout import ROOT


@pytest.mark.parametrize(("asked", "expected"), [(None, "20000"), ("7", "7")])
def test_openmp_spins_shortly_unless_told_otherwise(asked: str | None, expected: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_CACHE": str(tmp_path)}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)
    command = [
        sys.executable,
        "-m",
        "bench",
        "rank-backbones",
        "--dataset",
        "emoji-home",
        "--target",
        "apple",
    ]
    done = subprocess.run(
        [*command, "--target", "apple", "--image-size", "32", "--backbones", "test_efficientnet.untrained"],
        env={
            **environment,
            "OMP_DISPLAY_ENV": "verbose",
            **({"GOMP_SPINCOUNT": asked} if asked else {}),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    # Printed by the library itself, in this process and in the worker that it starts.
    assert re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr) == [expected, expected]


def test_a_policy_that_is_asked_for_is_kept_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Ray and Slurm, too: a spin count beside it would go before."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert waiting() == {"GOMP_SPINCOUNT": "20000"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert waiting() == {"OMP_WAIT_POLICY": "active"}
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert waiting() == {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "7"}
