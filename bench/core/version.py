"""Version of the program, and commits of the repository that a command is run in."""

from __future__ import annotations

import subprocess

__version__ = "0.1.0"


def git(*arguments: str) -> bytes:
    """Run git and return its output; empty where git fails or is not installed."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def commit(revision: str) -> str | None:
    """Resolve a revision to its commit; None where there is none."""
    if revision.startswith("-"):
        return None
    return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip() or None
