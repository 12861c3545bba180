"""How OpenMP's threads wait for each other, which is said before torch is loaded."""

from __future__ import annotations

import os

SPIN_COUNT, WAIT_POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


def waiting() -> dict[str, str]:
    """Environment variables that say how a thread waits: those that are set, or else a short spin.

    By default a step takes several times as long where other processes want the processors; without any
    spinning it takes longer where none does (`python -m tests.speed.busy`).
    """
    # GNU's OpenMP goes by the count where it has both: whoever asks for a policy gets that.
    asked = {name: os.environ[name] for name in (SPIN_COUNT, WAIT_POLICY) if name in os.environ}
    return asked or {SPIN_COUNT: "20000"}
