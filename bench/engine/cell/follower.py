"""Follower: a process that trains a cell along with its leader, `python -m bench.engine.cell.follower`.

It builds the leader's model, takes its part of every batch, and keeps nothing: a request is one stage.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.core.errors import CellFailed
from bench.engine.cell.messages import StageReady, StageRequest
from bench.processes.server import Server, serve

if TYPE_CHECKING:
    from bench.engine.training.data_parallel import Rank
    from bench.method.base import Model
    from bench.method.batch import StageName


class Follower(Server):
    """Trains its part of the stages of one cell."""

    def load(self) -> None:
        """Import the libraries that stages need."""
        import bench.engine.cell.execution  # noqa: F401

    def handle(self, request: str) -> None:
        """Train one stage."""
        try:
            self._train(StageRequest.model_validate_json(request))
        except CellFailed:
            # It diverged, which the leader says.
            pass
        except Exception:
            # The others must not wait for this one.
            traceback.print_exc()
            os._exit(1)

    def _train(self, request: StageRequest) -> None:
        import torch

        from bench.data.dataset import silent
        from bench.engine.cell.devices import bind
        from bench.engine.cell.env import CellEnv
        from bench.engine.cell.execution import CellExecution
        from bench.engine.cell.settings import arithmetic
        from bench.engine.training.artifacts import Alone, Artifacts
        from bench.engine.training.cost import CostTracker

        bind(request.devices)
        cell, setting = request.cell, request.setting
        group = FollowerGroup(self, request)
        artifacts = Alone() if request.artifacts is None else Artifacts(request.artifacts)
        cost = CostTracker(torch.device(setting.device))
        with arithmetic(setting, cell.precision):
            env = CellEnv(cell, setting, request.digests, artifacts, cost, silent)
            CellExecution(env, group=group).follow(request.stage)


class FollowerGroup:
    """Process group of a cell as a follower sees it."""

    leads = False

    def __init__(self, server: Server, request: StageRequest) -> None:
        self._server, self._request = server, request

    @contextlib.contextmanager
    def stage(self, name: StageName, model: Model) -> Iterator[Rank]:
        """Report that all is ready, and join the group for the block."""
        import torch

        from bench.engine.training.data_parallel import Rank

        self._server.send(StageReady())
        request = self._request
        device = torch.device(request.setting.device)
        try:
            yield Rank(request.rank, request.setting.devices, device, request.seed, request.folder)
        finally:
            Rank.leave()

    def close(self) -> None:
        """Release no resources: none are held."""


if __name__ == "__main__":
    serve(Follower)
