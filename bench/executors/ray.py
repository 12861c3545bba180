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
from bench.executors.compatibility import differences, facts, sees
from bench.executors.ray_actor import Host, Remote
from bench.executors.ray_nodes import Need, Node, alive, called, connect, everywhere
from bench.processes.protocol import Answers
from bench.spec.resources import Resources

LOOK = 5.0
"""Seconds between two looks at which nodes there are."""


class Cluster:
    """Starts workers on the nodes of a cluster: that of an address, else of $RAY_ADDRESS, else one here."""

    def __init__(self, address: str | None, device: str, resources: Resources) -> None:
        """Connect.

        Raises:
            UserError: it cannot be reached, a node has other versions, or none has room for a cell.
        """
        connect(address or os.environ.get("RAY_ADDRESS") or "local")
        nodes = alive()
        gpus = any(node["Resources"].get("GPU") for node in nodes.values())
        shared = resources.devices_per_cell / resources.cells_per_device if device != "cpu" and gpus else 0.0
        self._threads = resources.threads_per_device
        self.need = Need(resources.cpus_per_cell, shared, (resources.memory_gb or 0.0) * 1e9)
        if not any(self.need.room(node["Resources"]) for node in nodes.values()):
            most = max((node["Resources"] for node in nodes.values()), key=lambda r: r.get("CPU", 0.0))
            has = Need(
                most.get("CPU", 0.0),
                most.get("GPU", 0.0) if self.need.gpus else 0.0,
                most.get("memory", 0.0) if self.need.memory else 0.0,
            )
            raise UserError(
                f"a cell needs {self.need}, and no node of the Ray cluster has that (the largest has {has}): "
                "change [executor] of the suite or add a node"
            )
        self._facts = facts()
        self._admitted: dict[str, int] = {}
        """Cells that fit on each node that is in order, by its id."""
        for node, theirs in everywhere(nodes, facts).items():
            if unlike := differences(self._facts, theirs):
                raise UserError(f"{called(nodes[node])} has {unlike}: install the same on all nodes")
            self._admitted[node] = self.need.room(nodes[node]["Resources"])
        self._known = {*self._admitted}
        """Those that have ever been in order."""
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.artifacts: Path | None = None
        """Where workers share what they make; None: in the cache, which all nodes see."""
        self._scout: threading.Thread | None = None
        self._over = threading.Event()

    @property
    def room(self) -> int:
        """Cells at once, on all nodes that are in order."""
        return sum([*self._admitted.values()])

    def launch(self, answers: Answers, module: str) -> Remote:
        """A worker on some node that is in order, as soon as one has room."""
        options: dict[str, Any] = {"num_cpus": self.need.cpus, "num_gpus": self.need.gpus}
        if self.need.memory:
            options["memory"] = self.need.memory
        # Whatever joins the cluster meanwhile may have other versions.
        options["label_selector"] = {"ray.io/node-id": f"in({','.join([*self._admitted])})"}
        # Listening has a thread of its own, so that a request need not wait for an answer.
        kind: Any = ray.remote(concurrency_groups={"listening": 1})(Host)
        actor = kind.options(scheduling_strategy="SPREAD", max_restarts=0, **options).remote(
            module, self._environment(), [path for path in sys.path if path]
        )
        return Remote(answers, actor, self._lost)

    def check(self, root: Path) -> None:
        """Make sure that every node sees a results folder; from then on, look out for nodes that join.

        Raises:
            UserError: one does not.
        """
        nodes = {node: found for node, found in alive().items() if node in self._admitted}
        for node, found in _see(root, nodes).items():
            if not found:
                raise UserError(
                    f"{called(nodes[node])} does not see '{root.absolute()}': choose a folder "
                    "that all nodes share with --results"
                )
        self.close()
        self._over.clear()
        self.artifacts = None
        self._share(root, nodes)
        self._scout = threading.Thread(target=self._look_out, args=(root,), daemon=True)
        self._scout.start()

    def news(self) -> list[str]:
        """What nodes joined since the last time, a line each."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._news.get_nowait())
        return found

    def close(self) -> None:
        """Look out no more: whoever asks when Ray shuts down takes this process along."""
        self._over.set()
        if self._scout:
            self._scout.join()

    def _look_out(self, root: Path) -> None:
        refused: set[str] = set()
        while not self._over.wait(LOOK):
            # Where the cluster itself cannot be asked, its driver hears of that too.
            with contextlib.suppress(RayError, ConnectionError):
                self._look(root, refused)

    def _look(self, root: Path, refused: set[str]) -> None:
        """Take note of nodes that went and that came."""
        nodes = alive()
        for node in {*self._admitted} - {*nodes}:
            self._lost(node)
        for node in {*nodes} - {*self._admitted} - refused:
            try:
                self._consider(node, nodes[node], root)
            except (UserError, OSError) as error:
                refused.add(node)
                self._news.put(f"{error}; it gets no cells")

    def _consider(self, node: str, found: Node, root: Path) -> None:
        """Give a node cells from now on if it is in order, and there still.

        Raises:
            UserError: it is not.
        """
        for theirs in everywhere({node: found}, facts, over=self._over).values():
            if unlike := differences(self._facts, theirs):
                raise UserError(f"{called(found)} has {unlike}")
            seen = _see(root, {node: found}, self._over)
            if seen.get(node) is False:
                raise UserError(f"{called(found)} does not see '{root.absolute()}'")
            self._share(root, {node: found})
            if node in seen:
                self._admitted[node] = room = self.need.room(found["Resources"])
                how = "is there still" if node in self._known else "joined"
                self._known.add(node)
                if room:
                    self._news.put(f"{called(found)} {how}: room for {room} more at once")

    def _share(self, root: Path, nodes: Mapping[str, Node]) -> None:
        """Where nodes have caches of their own, have them share in the results folder."""
        with contextlib.suppress(OSError):
            if self.artifacts or all(_see(cache_root(), nodes, self._over).values()):
                return
        self.artifacts = root.absolute() / "artifacts"
        self._news.put(f"the cache is not seen by all nodes: source stages are shared in '{self.artifacts}'")

    def _lost(self, node: str | None) -> None:
        """A node is gone; or an actor of it alone, and it will be found to be there still."""
        if node and self._admitted.pop(node, None) and not self.room:
            self._news.put("no node of the Ray cluster has room any more: waiting for one that joins")

    def _environment(self) -> dict[str, str]:
        """What of this process's environment decides what a worker does."""
        ours = {name: value for name, value in os.environ.items() if name.startswith(("BENCH_", "HF_"))}
        return {**ours, "OMP_NUM_THREADS": str(self._threads)}


def _see(folder: Path, nodes: Mapping[str, Node], over: threading.Event | None = None) -> dict[str, bool]:
    """Whether nodes see a folder of this machine, and not another one of the same name.

    Raises:
        OSError: it cannot be written.
    """
    trace = folder.absolute() / f".seen-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trace.touch()
        return everywhere(nodes, sees, str(trace), over=over)
    finally:
        trace.unlink(missing_ok=True)
