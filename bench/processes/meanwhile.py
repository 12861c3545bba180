"""What this process does while others work on cells."""

from __future__ import annotations

from importlib import import_module
from threading import Thread

from bench.processes.garbage import loading


def load(module: str) -> None:
    """Begin to import a module, which whoever imports it later finds there, or waits for."""

    def work() -> None:
        with loading():
            import_module(module)

    Thread(target=work, daemon=True).start()
