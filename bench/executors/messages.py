"""Messages between an executor and its workers: one schema for pipes, Ray and Slurm.

The sending side dumps a model to a line of JSON, the receiving side validates it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.executors.protocol import ExecutorOptions, TrialImages
from bench.processes.protocol import Exited, Failure, Message, Note
from bench.records.record import Digests, Environment
from bench.spec.cell import Cell, Setting


class PrepareRequest(Message):
    """Request to resolve the device and fetch weights; answered by `Prepared`."""

    kind: Literal["prepare"] = "prepare"
    device: str
    backbones: tuple[str, ...]
    images: TrialImages | None = None
    """What the backbones are tried on; None: they are not."""
    workers: int
    """Workers at once, on this machine."""
    devices_per_cell: int
    cells_per_device: int | None
    """Cells that share an accelerator; None: a worker's accelerator is its launcher's to choose."""


class CellRequest(Message):
    """Request to run a cell and store its record."""

    kind: Literal["cell"] = "cell"
    cell: Cell
    suite: str
    setting: Setting
    digests: Digests
    root: Path
    """Results folder."""
    seen: str | None
    """Version of the cell's record when it was found missing."""
    share: bool
    artifacts: Path | None
    """Folder of shared artifacts; None: in the cache."""
    devices: tuple[int, ...]
    """Numbers of the accelerators that the worker is bound to."""
    keep_features: bool


class Prepared(Message):
    """Setting and machine that cells will run in, and the accelerators of each worker there is room for."""

    kind: Literal["prepared"] = "prepared"
    setting: Setting
    environment: Environment
    devices: list[list[int]]


class CellStarted(Message):
    """Start of a cell; its time limit counts from here, libraries being loaded."""

    kind: Literal["started"] = "started"


class CellProgress(Message):
    """Progress within a phase of a cell."""

    kind: Literal["progress"] = "progress"
    phase: str
    done: int
    total: int


class CellFinished(Message):
    """End of a cell whose record is stored."""

    kind: Literal["finished"] = "finished"
    retires: bool = False
    """Whether the cell changed the state of the worker's process, which should run no other."""


class CellStopped(Message):
    """End of a worker's part in a cell: on a stop request, its state saved, or for a fresh process to run."""

    kind: Literal["stopped"] = "stopped"


REQUEST = TypeAdapter[PrepareRequest | CellRequest](
    Annotated[PrepareRequest | CellRequest, Field(discriminator="kind")]
)
Answer = Prepared | CellStarted | CellProgress | CellFinished | CellStopped | Note | Failure | Exited
ANSWER = TypeAdapter[Answer](Annotated[Answer, Field(discriminator="kind")])


class WorkItem(Message):
    """Content of `work.json`: cells that all tasks of a Slurm job array work on."""

    root: Path
    """Results folder."""
    cells: tuple[Cell, ...]
    suite: str
    seen: dict[str, str | None]
    """Versions of the cells' records when they were found missing, by key."""
    digests: dict[str, Digests]
    """Digests of code and data, by method."""
    options: ExecutorOptions
    timeout: float | None


class JobEvent(Message):
    """Line of `events-<task>.jsonl`, by which an array task reports to the driver."""

    kind: Literal["started", "finished", "note", "error"]
    key: str = ""
    """Key of a cell that started or finished."""
    text: str = ""
