"""The wish to stop, as long work looks it up between two steps."""

from __future__ import annotations

_wished = False


class Stopped(BaseException):
    """A cell gave up because it was asked to, having saved how far it was. Not an error of the cell's."""


def stop() -> None:
    """Ask whatever runs in this process to stop at the next moment at which nothing is lost."""
    global _wished  # noqa: PLW0603
    _wished = True


def wished() -> bool:
    """Whether somebody asked."""
    return _wished
