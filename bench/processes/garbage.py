"""Garbage collection paused where it only costs, and imports that it is exempt from."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator
from importlib import import_module
from threading import Thread


@contextlib.contextmanager
def paused_gc() -> Iterator[None]:
    """Pause the search for cycles within a block that makes many objects, most of which stay.

    Python would go through all of them again and again: a sixth of the time that a large page takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def fast_imports() -> Iterator[None]:
    """Pause collection within a block that imports, a fifth faster; all objects at its end become exempt."""
    with paused_gc():
        yield
    gc.freeze()


def import_in_background(module: str) -> None:
    """Start to import a module in a thread; an import statement finds it there, or waits for it.

    Where it cannot be imported, that statement says so.
    """

    def work() -> None:
        with contextlib.suppress(Exception), fast_imports():
            import_module(module)

    Thread(target=work, daemon=True).start()


def freeze_at_exit() -> None:
    """Skip the collection of all objects at this process's exit: 0.3 s where pandas is loaded."""
    atexit.register(gc.freeze)
