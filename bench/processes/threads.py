"""Threads of the libraries below torch and SciPy."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


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


def one_blas_thread() -> AbstractContextManager[object]:
    """One thread for BLAS, for the block: its threads and torch's would wait for each other."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Libraries that are loaded, looked up once: that takes longer than many a block."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
