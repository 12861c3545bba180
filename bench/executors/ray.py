"""Workers on the nodes of a Ray cluster (Moritz et al. 2018, https://arxiv.org/abs/1712.05889).

Records and shared artifacts go through the folders, which all nodes see. A node that is lost takes its
workers along, and their cells begin again elsewhere; one that joins gets cells once it is known to be in
order.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from bench.core.errors import UserError
from bench.core.paths import cache_root
from bench.executors.compatibility import differences, file_exists, versions
from bench.executors.protocol import ExecutorOptions
from bench.executors.ray_actor import RemoteWorker, WorkerActor
from bench.executors.ray_nodes import CellResources, Node, alive, connect, describe, run_on_nodes
from bench.processes.openmp import waiting
from bench.processes.protocol import Answers

POLL = 5.0
"""Seconds between two polls of the nodes."""


class RayCluster:
    """Starts workers on the nodes of a cluster: that of an address, else of $RAY_ADDRESS, else one here."""

    assigns_devices = True
    """Ray hides all accelerators of a node but a worker's own."""

    def __init__(self, options: ExecutorOptions) -> None:
        """Connect.

        Raises:
            UserError: it cannot be reached, a node has other versions, or none has room for a cell.
        """
        resources = options.resources
        connect(options.address or os.environ.get("RAY_ADDRESS") or "local")
        nodes = alive()
        gpus = any(node["Resources"].get("GPU") for node in nodes.values())
        gpu_share = (
            resources.devices_per_cell / resources.cells_per_device
            if options.device != "cpu" and gpus
            else 0.0
        )
        self._threads = resources.threads_per_device
        self._cell = CellResources(resources.cpus_per_cell, gpu_share, (resources.memory_gb or 0.0) * 1e9)
        if not any(self._cell.capacity(node["Resources"]) for node in nodes.values()):
            most = max((node["Resources"] for node in nodes.values()), key=lambda r: r.get("CPU", 0.0))
            largest = CellResources(
                most.get("CPU", 0.0),
                most.get("GPU", 0.0) if self._cell.gpus else 0.0,
                most.get("memory", 0.0) if self._cell.memory else 0.0,
            )
            raise UserError(
                f"a cell needs {self._cell}, and no node of the Ray cluster has that "
                f"(the largest has {largest}): change [executor] of the suite or add a node"
            )
        self._versions = versions()
        self._admitted: dict[str, int] = {}
        """Cells that fit on each node that is in order, by its id."""
        for node, found in run_on_nodes(nodes, versions).items():
            if unlike := differences(self._versions, found):
                raise UserError(f"{describe(nodes[node])} has {unlike}: install the same on all nodes")
            self._admitted[node] = self._cell.capacity(nodes[node]["Resources"])
        self._known = {*self._admitted}
        """Nodes that have ever been in order."""
        self._changes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.artifacts: Path | None = None
        """Folder in which workers share artifacts; None: in the cache, which all nodes see."""
        self._monitor: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def capacity(self) -> int:
        """Cells at once, on all nodes that are in order."""
        return sum([*self._admitted.values()])

    def launch(self, answers: Answers, module: str) -> RemoteWorker:
        """Start a worker on some node that is in order, as soon as one has room."""
        options: dict[str, Any] = {"num_cpus": self._cell.cpus, "num_gpus": self._cell.gpus}
        if self._cell.memory:
            options["memory"] = self._cell.memory
        # Nodes that join the cluster later may have other versions.
        options["label_selector"] = {"ray.io/node-id": f"in({','.join([*self._admitted])})"}
        # Listening has a thread of its own, so that a request need not wait for an answer.
        kind: Any = ray.remote(concurrency_groups={"listening": 1})(WorkerActor)
        actor = kind.options(scheduling_strategy="SPREAD", max_restarts=0, **options).remote(
            module, self._environment(), [path for path in sys.path if path]
        )
        return RemoteWorker(answers, actor, self._remove_node)

    def check(self, root: Path) -> None:
        """Make sure that every node sees a results folder; from then on, watch for nodes that join.

        Raises:
            UserError: one does not.
        """
        nodes = {node: found for node, found in alive().items() if node in self._admitted}
        for node, visible in _folder_visible(root, nodes).items():
            if not visible:
                raise UserError(
                    f"{describe(nodes[node])} does not see '{root.absolute()}': choose a folder "
                    "that all nodes share with --results"
                )
        self.close()
        self._stop.clear()
        self.artifacts = None
        self._place_artifacts(root, nodes)
        self._monitor = threading.Thread(target=self._watch_nodes, args=(root,), daemon=True)
        self._monitor.start()

    def changes(self) -> list[str]:
        """Changes of nodes since the last call, a line each."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._changes.get_nowait())
        return lines

    def close(self) -> None:
        """Stop watching nodes: a thread that asks when Ray shuts down takes this process along."""
        self._stop.set()
        if self._monitor:
            self._monitor.join()

    def _watch_nodes(self, root: Path) -> None:
        refused: set[str] = set()
        while not self._stop.wait(POLL):
            # Where the cluster itself cannot be asked, its driver hears of that too.
            with contextlib.suppress(RayError, ConnectionError):
                self._update_nodes(root, refused)

    def _update_nodes(self, root: Path, refused: set[str]) -> None:
        """Remove nodes that are gone, and admit those that joined."""
        nodes = alive()
        for node in {*self._admitted} - {*nodes}:
            self._remove_node(node)
        for node in {*nodes} - {*self._admitted} - refused:
            try:
                self._admit(node, nodes[node], root)
            except (UserError, OSError) as error:
                refused.add(node)
                self._changes.put(f"{error}; it gets no cells")

    def _admit(self, node: str, description: Node, root: Path) -> None:
        """Admit a node to those that get cells if it is in order, and still alive.

        Raises:
            UserError: it is not.
        """
        name, nodes = describe(description), {node: description}
        for found in run_on_nodes(nodes, versions, stop=self._stop).values():
            if unlike := differences(self._versions, found):
                raise UserError(f"{name} has {unlike}")
            visible = _folder_visible(root, nodes, self._stop)
            if visible.get(node) is False:
                raise UserError(f"{name} does not see '{root.absolute()}'")
            self._place_artifacts(root, nodes)
            if node in visible:
                self._admitted[node] = room = self._cell.capacity(description["Resources"])
                how = "is there still" if node in self._known else "joined"
                self._known.add(node)
                if room:
                    self._changes.put(f"{name} {how}: room for {room} more at once")

    def _place_artifacts(self, root: Path, nodes: Mapping[str, Node]) -> None:
        """Have nodes share artifacts in the results folder if some have caches of their own."""
        with contextlib.suppress(OSError):
            if self.artifacts or all(_folder_visible(cache_root(), nodes, self._stop).values()):
                return
        self.artifacts = root.absolute() / "artifacts"
        self._changes.put(
            f"the cache is not seen by all nodes: source stages are shared in '{self.artifacts}'"
        )

    def _remove_node(self, node: str | None) -> None:
        """Remove a lost node; if only an actor of it was lost, it is admitted again."""
        if node and self._admitted.pop(node, None) and not self.capacity:
            self._changes.put("no node of the Ray cluster has room any more: waiting for one that joins")

    def _environment(self) -> dict[str, str]:
        """Environment variables of this process that decide how a worker behaves."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(("BENCH_", "HF_"))}
        return {**ours, "OMP_NUM_THREADS": str(self._threads), **waiting()}


def _folder_visible(
    folder: Path, nodes: Mapping[str, Node], stop: threading.Event | None = None
) -> dict[str, bool]:
    """Visibility of a folder of this machine, and not of another one of the same name, by node.

    Raises:
        OSError: it cannot be written.
    """
    trace = folder.absolute() / f".seen-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trace.touch()
        return run_on_nodes(nodes, file_exists, str(trace), stop=stop)
    finally:
        trace.unlink(missing_ok=True)
