"""Nodes of a Ray cluster: connections, capacity, functions run on all of them."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.core.errors import UserError

CONNECT_TIMEOUT = 5.0
"""Seconds in which a cluster's address must answer."""
REPLY_TIMEOUT = 120.0
"""Seconds in which every node must reply: the first worker process of a node is slow to start."""

Result = TypeVar("Result")
Node = Mapping[str, Any]
"""Description of a node by Ray."""


@dataclass(frozen=True)
class CellResources:
    """Resources that one cell takes of a node: processors, accelerators, bytes of memory."""

    cpus: float
    gpus: float = 0.0
    memory: float = 0.0

    def capacity(self, node: dict[str, float]) -> int:
        """Number of such cells that fit on a node of these resources at once."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in wanted.items() if amount))

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} processors"]
        parts += [f"{self.gpus:g} of an accelerator"] if self.gpus else []
        parts += [f"{self.memory / 1e9:g} GB of memory"] if self.memory else []
        return " and ".join(parts)


def alive() -> dict[str, Node]:
    """Nodes by their ids; a lost one is among them for some seconds more."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def describe(node: Node) -> str:
    """Name of a node in messages."""
    return f"node {node['NodeManagerAddress']} {node['NodeID'][:8]} of the Ray cluster"


def run_on_nodes(
    nodes: Mapping[str, Node],
    function: Callable[..., Result],
    *arguments: Any,
    stop: threading.Event | None = None,
) -> dict[str, Result]:
    """Run a function of this program on nodes; its results by node, of those still alive, until `stop`.

    Raises:
        UserError: a node does not answer, or cannot run it.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(function)
    references = {
        node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            *arguments
        )
        for node in nodes
    }
    results: dict[str, Result] = {}
    for node, reference in references.items():
        deadline = time.monotonic() + REPLY_TIMEOUT
        while not ray.wait([reference], timeout=1.0)[0]:
            if stop and stop.is_set():
                return results
            if time.monotonic() > deadline:
                raise UserError(f"{describe(nodes[node])} does not answer: remove it, or wait")
        try:
            results[node] = ray.get(reference)
        except TaskUnschedulableError:
            # It asks for no processor, so its node is gone.
            continue
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
            raise UserError(
                f"{describe(nodes[node])} cannot run this program ({cause}): install it there"
            ) from None
    return results


def connect(address: str) -> None:
    """Join the cluster at `HOST:PORT`, or start one here at `local`.

    Raises:
        UserError: it cannot be reached.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()
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
        cause = " ".join(str(error).split())
        token = "" if "RAY_AUTH_MODE" in os.environ else "; if it asks for a token, set RAY_AUTH_MODE=token"
        raise UserError(f"cannot join the Ray cluster at '{address}': {cause[:300]}{token}") from None
