"""Workarounds for what libraries do slowly on CPUs, each of which can be left out."""

from __future__ import annotations

import os
from typing import Literal, get_args

from bench.core.errors import UserError, did_you_mean

VARIABLE = "BENCH_WITHOUT"
"""Environment variable with the names of those to leave out, separated by commas."""

Workaround = Literal["depthwise", "malloc", "second-order"]


def applies(name: Workaround) -> bool:
    """Return True unless `$BENCH_WITHOUT` names it."""
    return name not in _named()


def left_out() -> tuple[str, ...]:
    """List the workarounds that `$BENCH_WITHOUT` names.

    Raises:
        UserError: there is none of a name.
    """
    known = get_args(Workaround)
    for name in _named():
        if name not in known:
            raise UserError(f"{VARIABLE}: there is no workaround '{name}': {did_you_mean(name, known)}")
    return tuple(sorted(_named()))


def _named() -> set[str]:
    return {name.strip() for name in os.environ.get(VARIABLE, "").split(",")} - {""}
