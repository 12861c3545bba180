"""The first of the processes that train one cell: it starts the others, and hears of it when one dies."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bench.core.errors import CellFailed
from bench.core.seeds import stream
from bench.engine.cell.env import CellEnv
from bench.engine.training.artifacts import Alone
from bench.engine.training.data_parallel import Rank, check_statistics
from bench.method.base import Model
from bench.method.batch import StageName
from bench.processes.local import LocalLauncher
from bench.processes.protocol import Answers, WorkerHandle

GRACE = 10.0
"""Seconds that this process has, once another died, to notice: then it ends itself, as NCCL waits forever."""

HEARD = 5.0
"""Seconds from the failure of a collective operation to the news that a process died."""


class Leader:
    """Trains a cell together with other processes of this machine, which live as long as the cell does."""

    leads = True

    def __init__(
        self,
        env: CellEnv,
        devices: Sequence[int],
    ) -> None:
        """`devices`: numbers of the accelerators that the cell may take; none: the first ones."""
        self._env = env
        self._cell, self._setting, self._digests = env.cell, env.setting, env.digests
        self._artifacts, self._ledger = env.artifacts, env.cost_tracker
        self._devices = devices or range(env.setting.devices)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._answers: Answers = queue.SimpleQueue()
        self._others: list[WorkerHandle] = []

    @contextlib.contextmanager
    def stage(self, name: StageName, model: Model) -> Iterator[Rank]:
        """Train a stage within this block."""
        check_statistics(model.train())
        folder = Path(self._folder.name) / name
        folder.mkdir()
        with self._ledger.phases("start"):
            self._begin(name, folder)
        watch = Watch(self._answers, self._others)
        watch.start()
        seed, device = stream(self._cell.seed, "ranks", name), torch.device(self._setting.device)
        try:
            yield Rank(0, self._setting.devices, device, seed, folder)
        except BaseException as error:
            # What torch raises where a connection breaks.
            lost = isinstance(error, RuntimeError) and watch.lost.wait(HEARD)
            watch.end()
            self._kill()
            if lost:
                raise CellFailed(watch.said) from None
            raise
        finally:
            watch.end()
            Rank.leave()

    def close(self) -> None:
        """Let the others go."""
        for other in self._others:
            other.close()
        self._folder.cleanup()

    def _begin(self, name: StageName, folder: Path) -> None:
        """Have the others do their part in a stage, as soon as this process joins them.

        Raises:
            CellFailed: one of them cannot.
        """
        launcher = LocalLauncher()
        while len(self._others) + 1 < self._setting.devices:
            self._others.append(launcher.launch(self._answers, "bench.engine.cell.follower"))
        for rank, other in enumerate(self._others, 1):
            other.ask(
                do="cell",
                cell=self._cell.model_dump(mode="json"),
                setting=self._setting.model_dump(),
                digests=self._digests.model_dump(),
                artifacts=None if isinstance(self._artifacts, Alone) else str(self._artifacts.root),
                stage=name,
                rank=rank,
                seed=stream(self._cell.seed, "ranks", name),
                folder=str(folder),
                devices=[self._devices[rank]] if self._setting.device != "cpu" else [],
            )
        waiting = set(self._others)
        while waiting:
            found = self._answers.get()
            assert found is not None
            other, answer = found
            if answer["what"] == "gone":
                said = failure_message(other, self._others)
                self._kill()
                raise CellFailed(said)
            if answer["what"] == "ready":
                waiting.discard(other)

    def _kill(self) -> None:
        for other in self._others:
            other.kill()
            other.close()
        self._others = []


class Watch(threading.Thread):
    """Hears what the others say during a stage, which is that they died."""

    def __init__(self, answers: Answers, others: Sequence[WorkerHandle]) -> None:
        super().__init__(daemon=True)
        self._answers, self._others = answers, others
        self._over = threading.Event()
        self.lost = threading.Event()
        self.said = ""

    def run(self) -> None:
        """Listen; without the others this process could wait forever."""
        for other, answer in iter(self._answers.get, None):
            if answer["what"] == "gone":
                self.said = failure_message(other, self._others)
                self.lost.set()
                if not self._over.wait(GRACE):
                    print(self.said, file=sys.stderr, flush=True)
                    os._exit(1)
                return

    def end(self) -> None:
        """The stage is over."""
        if not self._over.is_set():
            self._over.set()
            if self.is_alive():
                self._answers.put(None)
            self.join()


def failure_message(other: WorkerHandle, others: Sequence[WorkerHandle]) -> str:
    """How one of the others died, in one line."""
    last = (other.tail().splitlines() or [""])[-1]
    where = f"device {others.index(other) + 2} of {len(others) + 1}"
    return f"{where}: {other.death()}" + (f": {last}" if last else "")
