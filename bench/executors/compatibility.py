"""What must be the same on all machines that work on one results folder."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.core.digest import code_digest, combine, engine_digest
from bench.method.registry import method_digest, method_modules

PACKAGES = ("torch", "timm", "numpy")

AROUND = ("engine/cell/*.py", "executors/*.py", "processes/*.py", "records/record.py", "records/store.py")
"""Files beside the engine's that a worker and its driver must have alike."""


def facts() -> dict[str, str]:
    """Versions of what decides numbers, as this machine has them."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    code = combine(engine_digest(), code_digest(*AROUND), *map(method_digest, sorted(method_modules())))
    return {**found, "transfer-bench": code}


def differences(mine: dict[str, str], others: dict[str, str]) -> str:
    """In words, what another machine has that this one has otherwise; empty where nothing is."""
    return ", ".join(
        f"{name} {others.get(name, 'none')} instead of {mine[name]}"
        for name in mine
        if others.get(name) != mine[name]
    )


def sees(path: str) -> bool:
    """Whether there is such a file here."""
    return Path(path).is_file()
