"""How OpenMP's threads wait for each other, which is said before torch is loaded."""

from __future__ import annotations

import os

WAIT_POLICY = "OMP_WAIT_POLICY"


def wait_policy() -> str:
    """How OpenMP's threads wait for each other: asleep, if $OMP_WAIT_POLICY does not say otherwise.

    By default they spin. That makes a step several times as long where other processes want the processors,
    and hardly any shorter where none does.
    """
    return os.environ.get(WAIT_POLICY, "PASSIVE")


def set_wait_policy() -> None:
    """Set it for this process, which has not loaded torch yet, and for its child processes."""
    os.environ[WAIT_POLICY] = wait_policy()
