"""What a worker is to the process that asks it, wherever it lives, and who starts one."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any, Protocol

Answer = dict[str, Any]


class WorkerHandle(Protocol):
    """A running worker: what it answers is put into a queue, with itself.

    The last answer is `gone` where it died, or `lost` where the node that it lived on did.
    """

    @property
    def pid(self) -> int:
        """Its process's number, on its node."""

    def ask(self, **request: Any) -> None:
        """Send a request; one that is dead says so by an answer of its own."""

    def kill(self) -> None:
        """End it at once, with what it started; its log then says where it was."""

    def close(self) -> None:
        """Let it go."""

    def tail(self) -> str:
        """The end of what it printed since it was last asked."""

    def death(self) -> str:
        """How it died, in words."""


Answers = queue.SimpleQueue[tuple[WorkerHandle, Answer] | None]
"""Who answered what; None wakes whoever waits."""


class Launcher(Protocol):
    """Starts workers."""

    @property
    def room(self) -> int | None:
        """How many there is room for now; None: as many as are wanted."""

    @property
    def artifacts(self) -> Path | None:
        """Where workers share what they make; None: in the cache."""

    def launch(self, answers: Answers, module: str) -> WorkerHandle:
        """A new worker that runs a module."""

    def check(self, root: Path) -> None:
        """Make sure that workers see a results folder.

        Raises:
            UserError: some would not.
        """

    def news(self) -> list[str]:
        """What of its room has changed since the last time, a line each."""

    def close(self) -> None:
        """Start no more until the next `check`."""
