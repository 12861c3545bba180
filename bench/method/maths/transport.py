"""Optimal transport between items of two domains: what its methods need before they make a plan."""

from __future__ import annotations

from importlib.util import find_spec


def lacks_transport() -> str | None:
    """Requirement of methods that make plans with POT: that it is installed. None: it is."""
    return None if find_spec("ot") else "needs POT: pip install pot"
