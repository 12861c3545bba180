"""The machine and the versions that numbers were made with."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil
import torch

from bench.core.digest import LIBRARIES, combine, package_version
from bench.core.workarounds import left_out
from bench.processes.pool import processors
from bench.records.record import Environment

PACKAGES = (*LIBRARIES, "scipy", "scikit-learn", "safetensors")


def where(device: torch.device) -> Environment:
    """Describe this process's surroundings."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else _other(device)
    return Environment(
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := package_version(name))},
        platform=platform.platform(),
        cpu=_cpu(),
        accelerator=accelerator,
        git_revision=_git_revision(),
        machine=_hardware(accelerator),
        left_out=left_out(),
    )


def default_threads(workers: int = 1) -> int:
    """`$OMP_NUM_THREADS`, or an equal share of the physical cores that this process may use."""
    if (wanted := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(wanted) > 0:
        return int(wanted)
    return max(1, min(psutil.cpu_count(logical=False) or 1, processors()) // workers)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} threads)"


def _hardware(accelerator: str | None) -> str:
    """Digest of processor, cores, memory (in GiB: kernels keep a little for themselves), accelerator."""
    memory = str(round(psutil.virtual_memory().total / 2**30))
    return combine(platform.machine(), _cpu(), memory, accelerator or "")


def _other(device: torch.device) -> str | None:
    return None if device.type == "cpu" else device.type


def _git_revision() -> str | None:
    """Commit of the checkout this code runs from, with `+` when files differ from it."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        revision = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")
