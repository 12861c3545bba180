"""Processes that work on request and stand still in between, so that several can take turns in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping


class Served:
    """Process of a module that calls `serve`; it has worked once, unmeasured, when this returns."""

    def __init__(self, *command: str, unset: Collection[str], environment: Mapping[str, str]) -> None:
        """`command`: the module and its arguments. `unset`: variables that it does not inherit."""
        others = {name: value for name, value in os.environ.items() if name not in unset}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**others, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds()

    def seconds(self) -> float:
        """Seconds of some work."""
        assert self._process.stdin
        assert self._process.stdout
        print("go", file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(seconds: Callable[[], float]) -> None:
    """Work whenever asked, in such a process, and say how long it took."""
    for _ in sys.stdin:
        print(seconds(), flush=True)
