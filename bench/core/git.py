"""What git says of the repository that a command is run in."""

from __future__ import annotations

import subprocess


def git(*arguments: str) -> bytes:
    """What git prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def commit(revision: str) -> str | None:
    """The commit that a revision names; None where there is none."""
    if revision.startswith("-"):
        return None
    return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip() or None
