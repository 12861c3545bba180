"""A process that trains a cell along with the one that leads: `python -m bench.engine.cell.follower`.

It builds what the leading process has, takes its part of every batch, and keeps nothing: a stage is all that
it is asked for. Requests and answers go as those of a worker.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import CellFailed
from bench.executors.worker import Request, Worker, serve
from bench.records.record import Digests
from bench.spec.cell import Cell, Setting

if TYPE_CHECKING:
    from bench.engine.training.data_parallel import Rank
    from bench.method.base import Model
    from bench.method.batch import StageName


class Follower(Worker):
    """Does its part in the stages of one cell."""

    def cell(self, request: Request) -> None:
        """Train one stage."""
        try:
            self._train(**request)
        except CellFailed:
            # It diverged, which the leading process says.
            pass
        except Exception:
            # The others must not wait for this one.
            traceback.print_exc()
            os._exit(1)

    def _train(
        self, cell: dict[str, Any], setting: dict[str, Any], digests: dict[str, Any], artifacts: str | None,
        stage: StageName, devices: list[int], **place: Any,
    ) -> None:  # fmt: skip
        import torch

        from bench.data.dataset import silent
        from bench.engine.cell.devices import bind
        from bench.engine.cell.env import CellEnv
        from bench.engine.cell.execution import CellExecution
        from bench.engine.cell.settings import arithmetic
        from bench.engine.training.artifacts import Alone, Artifacts
        from bench.engine.training.cost import CostTracker

        bind(devices)
        asked, how = Cell.model_validate(cell), Setting(**setting)
        device = torch.device(how.device)
        joining = Joining(self, device, how.devices, **place)
        shared = Alone() if artifacts is None else Artifacts(Path(artifacts))
        with arithmetic(how, asked.precision):
            env = CellEnv(asked, how, Digests(**digests), shared, CostTracker(device), silent)
            CellExecution(env, group=joining).follow(stage)


class Joining:
    """The team as one that follows sees it."""

    leads = False

    def __init__(self, worker: Worker, device: Any, size: int, rank: int, seed: int, folder: str) -> None:
        self._worker, self._device, self._size = worker, device, size
        self._rank, self._seed, self._folder = rank, seed, Path(folder)

    @contextlib.contextmanager
    def stage(self, name: StageName, model: Model) -> Iterator[Rank]:
        """Say that all is ready, and join."""
        from bench.engine.training.data_parallel import Rank

        self._worker.say(what="ready")
        try:
            yield Rank(self._rank, self._size, self._device, self._seed, self._folder)
        finally:
            Rank.leave()

    def close(self) -> None:
        """Nothing is held."""


if __name__ == "__main__":
    serve(Follower)
