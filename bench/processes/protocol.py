"""Protocol between a process and its workers: lines of JSON on pipes, handles of workers, launchers."""

from __future__ import annotations

import os
import queue
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict

STOP = "stop"
"""Line on a worker's input that asks for a stop; every other line is a request."""


def _encodable(text: Any) -> Any:
    """Show what UTF-8 cannot encode, as names of files may hold it."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_encodable)]
"""Text for people to read."""


def path_text(path: Path) -> str:
    """Write a path, whose bytes may be no text of any encoding, as one character a byte."""
    return os.fsencode(path.absolute()).decode("latin-1")


def text_path(text: str) -> Path:
    """Read what `path_text` wrote."""
    return Path(os.fsdecode(text.encode("latin-1")))


class Message(BaseModel):
    """Request or answer: a line of JSON, validated by the side that reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Note(Message):
    """Text for the run's watcher."""

    kind: Literal["note"] = "note"
    text: Text


class Failure(Message):
    """User error that ends the run."""

    kind: Literal["failure"] = "failure"
    message: Text


class Exited(Message):
    """Last answer of a worker, in its name: its process ended, or the node that it lived on was lost."""

    kind: Literal["exited"] = "exited"
    node_lost: bool = False


class WorkerHandle(Protocol):
    """Running worker, wherever it lives; its answers are put into a queue, with the handle."""

    @property
    def pid(self) -> int:
        """Number of its process, on its node."""

    def send(self, request: Message) -> None:
        """Send a request; of a dead worker `Exited` is in the queue."""

    def request_stop(self) -> None:
        """Ask it to stop at the next moment at which nothing is lost."""

    def kill(self) -> None:
        """Kill it and its children; its log then ends with its stack."""

    def close(self) -> None:
        """Release it: the end of its input ends it."""

    def log_tail(self) -> str:
        """End of its log since the last request."""

    def exit_reason(self) -> str:
        """Cause of its exit, in words."""


Answers = queue.SimpleQueue[tuple[WorkerHandle, str] | None]
"""Workers and the lines that they answer; None wakes the process that waits."""


class Launcher(Protocol):
    """Starts workers."""

    @property
    def capacity(self) -> int | None:
        """Workers that there is room for now; None: unlimited."""

    @property
    def artifacts(self) -> Path | None:
        """Folder in which workers share artifacts; None: in the cache."""

    @property
    def assigns_devices(self) -> bool:
        """True if the launcher assigns accelerators to workers, False if they are bound by requests."""

    def launch(self, answers: Answers, module: str) -> WorkerHandle:
        """Start a worker that runs a module."""

    def check(self, root: Path) -> None:
        """Make sure that workers see a results folder.

        Raises:
            UserError: some would not.
        """

    def changes(self) -> list[str]:
        """Changes of the capacity since the last call, a line each."""

    def close(self) -> None:
        """Start no more until the next `check`."""
