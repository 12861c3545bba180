"""Random generators that libraries share: Python's, NumPy's and torch's, seeded and kept together.

The engine draws from streams of its own or from torch's generator; a method may draw from any of them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from bench.engine.training.artifacts import Notes


def seed_generators(seed: int) -> None:
    """Seed all of them, so that what is drawn does not depend on what was drawn before."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextlib.contextmanager
def apart(seed: int) -> Iterator[None]:
    """Seed all of them for the block, and put them back: it draws nothing of what others would draw."""
    plain = plain_state()
    with torch.random.fork_rng(devices=[]):
        # The CPU's alone: an accelerator's is not forked here.
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            set_plain_state(plain)


def plain_state() -> Notes:
    """State of Python's and NumPy's generators, as JSON."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {"python": random.getstate(), "numpy": [kind, np.asarray(keys).tolist(), *rest]}


def set_plain_state(state: Notes) -> None:
    """Set them to what `plain_state` returned, before JSON or after it."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
