"""Messages between the processes that train one cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.processes.protocol import Exited, Failure, Message, Note
from bench.records.record import Digests
from bench.spec.cell import Cell, Setting


class StageRequest(Message):
    """Request to a follower to train a stage along with the leader; answered by `StageReady`."""

    kind: Literal["stage"] = "stage"
    cell: Cell
    setting: Setting
    digests: Digests
    artifacts: Path | None
    """Folder of shared artifacts; None: the cell shares none."""
    stage: str
    rank: int
    seed: int
    """Seed of the process group's random streams."""
    folder: Path
    """Folder in which the processes find each other."""
    devices: tuple[int, ...]
    """Number of the accelerator that the follower is bound to; none on a CPU."""


class StageReady(Message):
    """State of a follower that joins as soon as the leader does."""

    kind: Literal["ready"] = "ready"


StageAnswer = StageReady | Note | Failure | Exited
STAGE_ANSWER = TypeAdapter[StageAnswer](Annotated[StageAnswer, Field(discriminator="kind")])
