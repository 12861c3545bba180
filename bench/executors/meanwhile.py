"""What this process does while others work on cells."""

from __future__ import annotations

from importlib import import_module
from threading import Thread


def load(module: str) -> None:
    """Begin to import a module, which whoever imports it later finds there, or waits for."""
    Thread(target=import_module, args=(module,), daemon=True).start()
