"""Versions that must be the same on all machines that work on one results folder."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.core.digest import code_digest, combine, engine_digest
from bench.core.errors import UserError
from bench.method.registry import method_code, method_modules

PACKAGES = ("torch", "timm", "numpy")

AROUND = ("engine/cell/*.py", "executors/*.py", "processes/*.py", "records/record.py", "records/store.py")
"""Files beside the engine's that a worker and its driver must have alike."""


def versions() -> dict[str, str]:
    """Versions of the software that decides numbers, on this machine, by name."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    code = combine(engine_digest(), code_digest(*AROUND), *map(_method, sorted(method_modules())))
    return {**found, "transfer-bench": code}


def _method(name: str) -> str:
    """Digest of a method, or a word for one that cannot be used, which is its own cells' affair."""
    try:
        return method_code(name)
    except UserError:
        return "unusable"


def differences(expected: dict[str, str], found: dict[str, str]) -> str:
    """Versions of another machine that differ from those expected, in words; empty if none does."""
    return ", ".join(
        f"{name} {found.get(name, 'none')} instead of {expected[name]}"
        for name in expected
        if found.get(name) != expected[name]
    )


def file_exists(path: str) -> bool:
    """Return True if this machine sees such a file."""
    return Path(path).is_file()
