"""A worker on a node of a Ray cluster: an actor hosts its process and relays what is asked and answered."""

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
from bench.processes.protocol import Answer, Answers

ASKED = 10.0
"""Seconds after which an actor that does not answer is given up."""
HEARD = 5.0
"""Seconds that an actor waits for an answer of its worker before it says that there is none yet."""


class Host:
    """On a node: a worker process, whose answers are fetched from here."""

    def __init__(self, module: str, environment: dict[str, str], path: list[str]) -> None:
        os.environ.update(environment)
        sys.path[:] = list(dict.fromkeys([*sys.path, *path]))
        self._answers: Answers = queue.SimpleQueue()
        self._child = LocalWorker(self._answers, module)

    @ray.method(concurrency_group="listening")
    def node(self) -> str:
        """Where this is."""
        return str(ray.get_runtime_context().get_node_id())

    @ray.method(concurrency_group="listening")
    def answers(self) -> list[Answer]:
        """What the worker has answered since the last time, at least one thing, or nothing for a while."""
        found: list[Answer] = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._answers.get(timeout=0 if found else HEARD)
                assert item is not None
                found.append(item[1])
        return found

    def ask(self, request: dict[str, Any]) -> None:
        """Pass a request on."""
        self._child.ask(**request)

    def end(self) -> None:
        """Kill the worker."""
        self._child.kill()

    def say(self, what: str) -> Any:
        """The worker's `pid`, `tail` or `death`."""
        found = getattr(self._child, what)
        return found() if callable(found) else found


class Remote:
    """A worker on some node, as the driver sees it."""

    def __init__(self, answers: Answers, actor: Any, lost: Callable[[str | None], None]) -> None:
        """`lost` is called with its node, if that is known, when the actor is no more."""
        self._actor, self._tell = actor, lost
        self._lost = self._closed = False
        self._listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process's number, on its node."""
        return int(self._said("pid", 0))

    def ask(self, **request: Any) -> None:
        """Send a request; one that is dead says so by an answer of its own."""
        self._actor.ask.remote(request)

    def kill(self) -> None:
        """End it at once; its log then says where it was."""
        with contextlib.suppress(RayError):
            ray.get(self._actor.end.remote(), timeout=ASKED)

    def close(self) -> None:
        """Let it go: without its actor, it ends."""
        self._closed = True
        with contextlib.suppress(RayError):
            ray.kill(self._actor)
        # Whoever still listens when Ray shuts down takes this process along.
        self._listener.join(ASKED)

    def tail(self) -> str:
        """The end of what it printed since it was last asked."""
        return str(self._said("tail", ""))

    def death(self) -> str:
        """How it died, in words."""
        return str(self._said("death", "its node was lost"))

    def _said(self, what: str, otherwise: Any) -> Any:
        if not self._lost:
            with contextlib.suppress(RayError):
                return ray.get(self._actor.say.remote(what), timeout=ASKED)
        return otherwise

    def _listen(self, answers: Answers) -> None:
        node = None
        try:
            node = ray.get(self._actor.node.remote())
            while True:
                for answer in ray.get(self._actor.answers.remote()):
                    answers.put((self, answer))
                    if answer["what"] == "gone":
                        return
        except RayError:
            self._lost = True
            if not self._closed:
                self._tell(node)
                answers.put((self, {"what": "lost"}))
