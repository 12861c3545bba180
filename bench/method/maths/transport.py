"""Optimal transport between items of two domains: what its methods need before they make a plan."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor


def lacks_transport() -> str | None:
    """Requirement of methods that make plans with POT: that it is installed. None: it is."""
    return None if find_spec("ot") else "needs POT: pip install pot"


def even_share(y: Tensor, most: int) -> Tensor:
    """Places (K,) of at most so many of the items with labels (N,), with the classes' shares kept.

    A plan has a number for each pair of items, and carries all mass of a class somewhere. A fit before a
    loop leaves the loop its part of a budget.
    """
    count = min(most, len(y))
    return y.argsort(stable=True)[torch.arange(count, device=y.device) * len(y) // count]
