"""Workers on the nodes of a Ray cluster: an actor hosts each process and relays its requests and answers."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from bench.processes.local import LocalWorker
from bench.processes.protocol import Answers, Exited, Message

REPLY_TIMEOUT = 10.0
"""Seconds after which an actor that does not reply is given up."""
ANSWER_WAIT = 5.0
"""Seconds that an actor waits for an answer of its worker before it returns none."""


class WorkerActor:
    """Actor on a node: hosts a worker process, whose answers are fetched from here."""

    def __init__(self, module: str, environment: dict[str, str], path: list[str]) -> None:
        os.environ.update(environment)
        sys.path[:] = list(dict.fromkeys([*sys.path, *path]))
        self._answers: Answers = queue.SimpleQueue()
        self._worker = LocalWorker(self._answers, module)

    @ray.method(concurrency_group="listening")
    def node(self) -> str:
        """Id of its node."""
        return str(ray.get_runtime_context().get_node_id())

    @ray.method(concurrency_group="listening")
    def answers(self) -> list[str]:
        """Answers of the worker since the last call: at least one, or none for a while."""
        found: list[str] = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._answers.get(timeout=0 if found else ANSWER_WAIT)
                assert item is not None
                found.append(item[1])
        return found

    def send(self, request: Message) -> None:
        """Pass a request on."""
        self._worker.send(request)

    def request_stop(self) -> None:
        """Pass a stop request on."""
        self._worker.request_stop()

    def kill(self) -> None:
        """Kill the worker."""
        self._worker.kill()

    def pid(self) -> int:
        """Number of the worker's process."""
        return self._worker.pid

    def log_tail(self) -> str:
        """End of the worker's log."""
        return self._worker.log_tail()

    def exit_reason(self) -> str:
        """Cause of the worker's exit."""
        return self._worker.exit_reason()


class RemoteWorker:
    """Worker on some node, as the driver sees it."""

    def __init__(self, answers: Answers, actor: Any, on_lost: Callable[[str | None], None]) -> None:
        """`on_lost` is called with its node, if that is known, when the actor is no more."""
        self._actor, self._on_lost = actor, on_lost
        self._lost = self._closed = False
        self._listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Number of its process, on its node."""
        return int(self._fetch("pid", 0))

    def send(self, request: Message) -> None:
        """Send a request; of a dead worker `Exited` is in the queue."""
        self._actor.send.remote(request)

    def request_stop(self) -> None:
        """Ask it to stop at the next moment at which nothing is lost."""
        self._actor.request_stop.remote()

    def kill(self) -> None:
        """Kill it at once; its log then ends with its stack."""
        with contextlib.suppress(RayError):
            ray.get(self._actor.kill.remote(), timeout=REPLY_TIMEOUT)

    def close(self) -> None:
        """Release it: without its actor, it ends."""
        self._closed = True
        with contextlib.suppress(RayError):
            ray.kill(self._actor)
        # A thread that still listens when Ray shuts down takes this process along.
        self._listener.join(REPLY_TIMEOUT)

    def log_tail(self) -> str:
        """End of its log since the last request."""
        return str(self._fetch("log_tail", ""))

    def exit_reason(self) -> str:
        """Cause of its exit, in words."""
        return str(self._fetch("exit_reason", "its node was lost"))

    def _fetch(self, method: str, default: Any) -> Any:
        if not self._lost:
            with contextlib.suppress(RayError):
                return ray.get(getattr(self._actor, method).remote(), timeout=REPLY_TIMEOUT)
        return default

    def _listen(self, answers: Answers) -> None:
        node = None
        try:
            node = ray.get(self._actor.node.remote())
            exited = Exited().model_dump_json()
            while True:
                for answer in ray.get(self._actor.answers.remote()):
                    answers.put((self, answer))
                    if answer == exited:
                        return
        except RayError:
            self._lost = True
            if not self._closed:
                self._on_lost(node)
                answers.put((self, Exited(node_lost=True).model_dump_json()))
