"""Threads of the libraries below torch and SciPy."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """One thread for BLAS, for the block: its threads and torch's would wait for each other."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """Libraries that are loaded, looked up once: that takes longer than many a block."""
    return ThreadpoolController()
