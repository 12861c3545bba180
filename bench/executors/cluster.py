"""Workers on the nodes of a Ray cluster (Moritz et al. 2018, https://arxiv.org/abs/1712.05889).

An actor hosts a worker process on its node and relays what is asked and answered; records and shared
artifacts go through the folders, which all nodes see. A node that is lost takes its actors along, and their
cells begin again elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import UserError
from bench.executors.child import Child
from bench.executors.facts import differences, facts, sees
from bench.executors.launch import Answer, Answers
from bench.resources import Resources

REACH = 5.0
"""Seconds in which a cluster's address must answer."""
PATIENCE = 120.0
"""Seconds in which every node must say what it has: the first worker process of a node is slow to start."""
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
        self._child = Child(self._answers, module)

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

    def __init__(self, answers: Answers, actor: Any) -> None:
        self._actor = actor
        self._lost = False
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
        while True:
            try:
                for answer in ray.get(self._actor.answers.remote()):
                    answers.put((self, answer))
                    if answer["what"] == "gone":
                        return
            except RayError:
                self._lost = True
                answers.put((self, {"what": "lost"}))
                return


@dataclass(frozen=True)
class Need:
    """What one cell takes of a node."""

    cpus: float
    gpus: float = 0.0
    memory: float = 0.0

    def room(self, node: dict[str, float]) -> int:
        """How many such cells fit on a node of these resources at once."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in wanted.items() if amount))

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} processors"]
        parts += [f"{self.gpus:g} of an accelerator"] if self.gpus else []
        parts += [f"{self.memory / 1e9:g} GB of memory"] if self.memory else []
        return " and ".join(parts)


class Cluster:
    """Starts workers on the nodes of a cluster: that of an address, else of $RAY_ADDRESS, else one here."""

    def __init__(self, address: str | None, device: str, resources: Resources) -> None:
        """Connect.

        Raises:
            UserError: it cannot be reached, a node has other versions, or none has room for a cell.
        """
        _connect(address or os.environ.get("RAY_ADDRESS") or "local")
        nodes = _nodes()
        gpus = any(node["Resources"].get("GPU") for node in nodes)
        shared = resources.devices_per_cell / resources.cells_per_device if device != "cpu" and gpus else 0.0
        self._threads = resources.threads_per_device
        self.need = Need(resources.cpus_per_cell, shared, (resources.memory_gb or 0.0) * 1e9)
        self.room = sum(self.need.room(node["Resources"]) for node in nodes)
        if not self.room:
            most = max((node["Resources"] for node in nodes), key=lambda r: r.get("CPU", 0.0))
            has = Need(
                most.get("CPU", 0.0),
                most.get("GPU", 0.0) if self.need.gpus else 0.0,
                most.get("memory", 0.0) if self.need.memory else 0.0,
            )
            raise UserError(
                f"a cell needs {self.need}, and no node of the Ray cluster has that (the largest has {has}): "
                "change [executor] of the suite or add a node"
            )
        mine = facts()
        for name, theirs in self._everywhere(facts).items():
            if unlike := differences(mine, theirs):
                raise UserError(f"node {name} of the Ray cluster has {unlike}: install the same on all nodes")

    def launch(self, answers: Answers, module: str) -> Remote:
        """A worker on some node that has room, as soon as one has."""
        options: dict[str, Any] = {"num_cpus": self.need.cpus, "num_gpus": self.need.gpus}
        if self.need.memory:
            options["memory"] = self.need.memory
        # Listening has a thread of its own, so that a request need not wait for an answer.
        kind: Any = ray.remote(concurrency_groups={"listening": 1})(Host)
        actor = kind.options(scheduling_strategy="SPREAD", max_restarts=0, **options).remote(
            module, self._environment(), [path for path in sys.path if path]
        )
        return Remote(answers, actor)

    def check(self, root: Path) -> None:
        """Make sure that every node sees a results folder.

        Raises:
            UserError: one does not.
        """
        token = root.absolute() / f".seen-{secrets.token_hex(8)}"
        try:
            token.touch()
            for name, found in self._everywhere(sees, str(token)).items():
                if not found:
                    raise UserError(
                        f"node {name} of the Ray cluster does not see '{root.absolute()}': choose a folder "
                        "that all nodes share with --results"
                    )
        finally:
            token.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        """What of this process's environment decides what a worker does."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(("BENCH_", "HF_"))}
        return {**ours, "OMP_NUM_THREADS": str(self._threads)}

    def _everywhere(self, function: Any, *arguments: Any) -> dict[str, Any]:
        """What a function of this program returns, by node; of those that are there still."""
        task: Any = ray.remote(num_cpus=0, max_retries=0)(function)
        asked = {
            node["NodeManagerAddress"] + " " + node["NodeID"][:8]: task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(*arguments)
            for node in _nodes()
        }
        found = {}
        for name, reference in asked.items():
            try:
                found[name] = ray.get(reference, timeout=PATIENCE)
            except TaskUnschedulableError:
                # It asks for no processor, so its node is gone: a lost one is listed for some seconds more.
                continue
            except GetTimeoutError:
                raise UserError(
                    f"node {name} of the Ray cluster does not answer: remove it, or wait"
                ) from None
            except RayError as error:
                said = str(error).strip().splitlines()[-1]
                raise UserError(
                    f"node {name} of the Ray cluster cannot run this program ({said}): install it there"
                ) from None
        return found


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _connect(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=REACH).close()
        except OSError as error:
            raise UserError(
                f"cannot reach a Ray cluster at '{address}' ({error.strerror or error}): start one there, or "
                "leave --address and RAY_ADDRESS out for one on this machine"
            ) from None
    if ray.is_initialized():
        return
    quiet = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
            **quiet,
        )
    except (ConnectionError, RuntimeError, ValueError, RayError, OSError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"cannot join the Ray cluster at '{address}': {said[:300]}") from None
