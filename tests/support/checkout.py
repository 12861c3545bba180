"""Checkout: its root, Python processes and the command line in it, fake distributions. No torch."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.ready import Server, early

ROOT = Path(__file__).parents[2]
TIMEOUT = 300
OWN = ("CUBLAS_WORKSPACE_CONFIG", "GLOO_SOCKET_IFNAME", "GOMP_SPINCOUNT")
"""Variables that commands set for themselves, in this process, too, where a test has run one in it."""


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that sees the checkout but does not start in it."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def bench(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench ...`, forked from a process with libraries loaded where they would be the same."""
    whole = _environment(environment)
    server = _server()
    if server is None or early(whole) != server.early or _hides_what_is_installed(whole["PYTHONPATH"]):
        return python("-m", "bench", *arguments, cwd=cwd, **environment)
    return server.run("bench", *arguments, cwd=cwd, environment=whole, timeout=TIMEOUT)


def _environment(changes: dict[str, str]) -> dict[str, str]:
    # Threads that wait without spinning: tests share their processors with whatever else runs.
    usual = {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", "COLUMNS": "120"}
    outside = {name: value for name, value in os.environ.items() if name not in OWN}
    return {**outside, **usual, **changes}


def _hides_what_is_installed(path: str) -> bool:
    """Whether folders of a PYTHONPATH, but for the checkout, hold what is found without them, too."""
    folders = [Path(folder) for folder in path.split(os.pathsep) if Path(folder) != ROOT]
    return any(
        find_spec(each.stem)
        for folder in folders
        for each in folder.glob("[!.]*")
        if each.stem.isidentifier()
    )


@cache
def _server() -> Server | None:
    return Server(_environment({}), ROOT) if hasattr(os, "fork") else None


def install(folder: Path, entry_points: str, **files: str) -> None:
    """What pip leaves of a distribution."""
    info = folder / "someone-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someone\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[transfer_bench.methods]\n{entry_points}\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
