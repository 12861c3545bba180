"""Watches what the interpreter does: writes outside allowed folders, programs started, objects unpickled."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MOVING = {"os.rename": 2, "os.link": 2, "os.symlink": 2, "os.mkdir": 1, "os.rmdir": 1, "os.remove": 1}
"""How many of the first arguments are paths that change."""
RUNNING = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class"}

_allowed: list[str] | None = None
_broken: list[str] = []


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _allowed is None:
        return
    if event == "open":
        path, _, flags = args
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITING:
            _check(event, path)
    elif event in MOVING:
        for path in args[: MOVING[event]]:
            if isinstance(path, str | bytes):
                _check(event, path)
    elif event in RUNNING and not (event == "subprocess.Popen" and (args[0] == "git" or _ours(args[1]))):
        _broken.append(f"{event} {args[:2]!r}")


def _ours(command: object) -> bool:
    """Return True for a process of ours that opens images."""
    start = [sys.executable, "-P", "-m"]
    return isinstance(command, list) and command[:3] == start and command[3].startswith("bench.data.")


def _check(event: str, path: str | bytes) -> None:
    place = os.path.realpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    # Python keeps what it compiled of libraries that are imported late.
    if place == os.devnull or "__pycache__" in place:
        return
    if not any(place.startswith(root) for root in _allowed or ()):
        _broken.append(f"{event} {place!r}")


sys.addaudithook(_hook)


@contextmanager
def guarded(*allowed: Path) -> Iterator[Sequence[str]]:
    """What the block did that it may not, as a list that fills up."""
    global _allowed  # noqa: PLW0603
    _broken.clear()
    _allowed = [os.path.realpath(path) for path in allowed]
    try:
        yield _broken
    finally:
        _allowed = None
