"""How long OpenMP's threads spin while they wait for each other, which is said before torch is loaded."""

from __future__ import annotations

import os

SPIN_COUNT = "GOMP_SPINCOUNT"


def spin_count() -> str:
    """Turns that a waiting thread spins before it sleeps, if $GOMP_SPINCOUNT does not say otherwise.

    By default a step takes several times as long where other processes want the processors; without any
    spinning it takes longer where none does (`python -m tests.speed.busy`).
    """
    return os.environ.get(SPIN_COUNT, "20000")


def set_spin_count() -> None:
    """Set it for this process, which has not loaded torch yet, and for its child processes."""
    # Of the two, GNU's OpenMP goes by the count: whoever asks for a policy gets that.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ[SPIN_COUNT] = spin_count()
