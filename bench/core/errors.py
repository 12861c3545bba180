"""The one error that is the user's to mend, and the "did you mean" that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A request that cannot be met: one line that says what is wrong, where, and how to mend it.

    The command line prints it without a traceback and exits with code 2.
    """


class CellSkipped(Exception):
    """A cell that its method declares it cannot do; becomes a `skipped` record with this reason."""


class CellFailed(Exception):
    """A cell that went wrong in a way we understand (divergence, ...): a `failed` record."""


MOST = 12


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A sentence that names the closest options, or lists some when none is close."""
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
