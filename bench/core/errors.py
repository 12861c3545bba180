"""Errors of users and of cells, and the "did you mean" of messages."""

from __future__ import annotations

import difflib
import os
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Error that the user can fix: one line that says what is wrong, where, and how to fix it.

    The command line prints it without a traceback and exits with code 2; a notebook prints it alike.
    """

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows instead of a traceback."""
        return [f"error: {self}"]


class CellSkipped(Exception):
    """Cell that its method declares unsupported; becomes a `skipped` record with this reason."""


class TooFewImages(CellSkipped, UserError):
    """Images that cannot give what a cell asks for, as its shots; becomes a `skipped` record."""


class CellFailed(Exception):
    """Cell that failed in an understood way (divergence, ...); becomes a `failed` record with this reason."""


class InputsChanged(CellFailed):
    """Cell whose code, images or weights are other ones than when its run began: the next run tries again."""


class OldProcess(Exception):
    """Cell that this process cannot run, since it loaded code that is another by now; a fresh one can."""


MOST = 12


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Suggest the closest options in a phrase, or list some when none is close."""
    known = sorted(options)
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    if not known:
        return "there are none"
    return (
        "choose from: "
        + ", ".join(known[:MOST])
        + (f" and {len(known) - MOST} more" if len(known) > MOST else "")
    )


def check_name(kind: str, name: str, options: Iterable[str]) -> None:
    """Raise a `UserError` with a suggestion unless `name` is one of `options`."""
    known = list(options)
    if name not in known:
        raise UserError(f"unknown {kind} '{name}': {did_you_mean(name, known)}")


def place_in(error: BaseException, file: str | os.PathLike[str] | None) -> str:
    """Name the deepest line of a file that an error came through, as `file.py:17`; empty where it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    if file is None:
        return ""
    if isinstance(error, SyntaxError) and error.lineno:
        parsed = os.fspath(file) if error.filename in (None, "<unknown>") else error.filename
        frames.append(traceback.FrameSummary(str(parsed), error.lineno, ""))
    own = os.path.realpath(file)
    lines = [frame.lineno for frame in frames if os.path.realpath(frame.filename) == own]
    return f"{Path(file).name}:{lines[-1]}" if lines else ""
