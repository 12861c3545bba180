"""Leader: the first of the processes that train one cell. It starts its followers and watches them."""

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
from bench.engine.cell.messages import STAGE_ANSWER, StageReady, StageRequest
from bench.engine.training.artifacts import Alone
from bench.engine.training.data_parallel import Rank, check_statistics
from bench.method.base import Model
from bench.method.batch import StageName
from bench.processes.local import LocalLauncher
from bench.processes.protocol import Answers, Exited, WorkerHandle

GRACE = 10.0
"""Seconds that this process has, once another died, to notice: then it ends itself, as NCCL waits forever."""

EXIT_WAIT = 5.0
"""Seconds from the failure of a collective operation to the news that a process died."""


class Leader:
    """Process group of a cell whose followers are processes of this machine that live as long as it does."""

    leads = True

    def __init__(self, env: CellEnv, devices: Sequence[int]) -> None:
        """`devices`: numbers of the accelerators that the cell may take; none: the first ones."""
        self._env, self._setting = env, env.setting
        self._devices = devices or range(env.setting.devices)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._answers: Answers = queue.SimpleQueue()
        self._followers: list[WorkerHandle] = []

    @contextlib.contextmanager
    def stage(self, name: StageName, model: Model) -> Iterator[Rank]:
        """Train a stage within this block."""
        check_statistics(model.train())
        folder = Path(self._folder.name) / name
        folder.mkdir()
        with self._env.cost_tracker.phases("start"):
            self._start_followers(name, folder)
        watch = FollowerWatch(self._answers, self._followers)
        watch.start()
        seed, device = stream(self._env.cell.seed, "ranks", name), torch.device(self._setting.device)
        try:
            yield Rank(0, self._setting.devices, device, seed, folder)
        except BaseException as error:
            # A connection that breaks is a RuntimeError of torch.
            exited = isinstance(error, RuntimeError) and watch.exited.wait(EXIT_WAIT)
            watch.end()
            self._kill()
            if exited:
                raise CellFailed(watch.message) from None
            raise
        finally:
            watch.end()
            Rank.leave()

    def close(self) -> None:
        """Release the followers."""
        for follower in self._followers:
            follower.close()
        self._folder.cleanup()

    def _start_followers(self, name: StageName, folder: Path) -> None:
        """Start a stage in the followers, which wait for this process to join them.

        Raises:
            CellFailed: one of them cannot.
        """
        launcher = LocalLauncher()
        while len(self._followers) + 1 < self._setting.devices:
            self._followers.append(launcher.launch(self._answers, "bench.engine.cell.follower"))
        for rank, follower in enumerate(self._followers, 1):
            follower.send(
                StageRequest(
                    cell=self._env.cell,
                    setting=self._setting,
                    digests=self._env.digests,
                    artifacts=None if isinstance(self._env.artifacts, Alone) else self._env.artifacts.root,
                    stage=name,
                    rank=rank,
                    seed=stream(self._env.cell.seed, "ranks", name),
                    folder=folder,
                    devices=(self._devices[rank],) if self._setting.device != "cpu" else (),
                )
            )
        waiting = set(self._followers)
        while waiting:
            item = self._answers.get()
            assert item is not None
            follower = item[0]
            match STAGE_ANSWER.validate_json(item[1]):
                case Exited():
                    message = failure_message(follower, self._followers)
                    self._kill()
                    raise CellFailed(message)
                case StageReady():
                    waiting.discard(follower)

    def _kill(self) -> None:
        for follower in self._followers:
            follower.kill()
            follower.close()
        self._followers = []


class FollowerWatch(threading.Thread):
    """Watches followers during a stage, in which they answer nothing unless they die."""

    def __init__(self, answers: Answers, followers: Sequence[WorkerHandle]) -> None:
        super().__init__(daemon=True)
        self._answers, self._followers = answers, followers
        self._over = threading.Event()
        self.exited = threading.Event()
        self.message = ""

    def run(self) -> None:
        """End this process if a follower dies and it does not notice: it could wait forever."""
        for follower, answer in iter(self._answers.get, None):
            if isinstance(STAGE_ANSWER.validate_json(answer), Exited):
                self.message = failure_message(follower, self._followers)
                self.exited.set()
                if not self._over.wait(GRACE):
                    print(self.message, file=sys.stderr, flush=True)
                    os._exit(1)
                return

    def end(self) -> None:
        """Stop watching: the stage is over."""
        if not self._over.is_set():
            self._over.set()
            if self.is_alive():
                self._answers.put(None)
            self.join()


def failure_message(follower: WorkerHandle, followers: Sequence[WorkerHandle]) -> str:
    """Cause of a follower's exit, in one line."""
    last = (follower.log_tail().splitlines() or [""])[-1]
    where = f"device {followers.index(follower) + 2} of {len(followers) + 1}"
    return f"{where}: {follower.exit_reason()}" + (f": {last}" if last else "")
