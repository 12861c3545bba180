"""Experiment trackers: a module each, found by its file, that writes runs through the tracker's own library.

A module has `write(runs, where)`, which returns in words where the runs went, and raises a `UserError` for
what the user can mend. Writing the same runs again adds none. The module's name is also that of the optional
extra that installs the library.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable

from bench.core.errors import UserError, check_name
from bench.report.scores.runs import Run

Writer = Callable[[Iterable[Run], str | None], str]


def names() -> list[str]:
    """Names of the trackers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def writer(name: str) -> Writer:
    """Function `write` of a tracker.

    Raises:
        UserError: there is none of that name, or its library is not installed.
    """
    check_name("tracker", name, names())
    try:
        write: Writer = importlib.import_module(f"{__name__}.{name}").write
    except ImportError as error:
        raise UserError(
            f"tracker '{name}' needs more than is here: pip install 'transfer-bench[{name}]' ({error})"
        ) from None
    return write
