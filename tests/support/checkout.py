"""Checkout: its root, Python processes and the command line in it, fake distributions. No torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that sees the checkout but does not start in it."""
    # Threads that wait without spinning: tests share their processors with whatever else runs.
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_WAIT_POLICY": "passive",
        "COLUMNS": "120",
        **environment,
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def bench(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench ...`."""
    return python("-m", "bench", *arguments, cwd=cwd, **environment)


def install(folder: Path, entry_points: str, **files: str) -> None:
    """What pip leaves of a distribution."""
    info = folder / "someone-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someone\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[transfer_bench.methods]\n{entry_points}\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
