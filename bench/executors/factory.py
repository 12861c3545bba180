"""Ways to run the cells of a suite, by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Protocol

from bench.core.errors import UserError, check_name
from bench.executors.protocol import Watcher
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.resources import Resources


@dataclass(frozen=True)
class Ask:
    """What an executor is to be."""

    device: str = "auto"
    share: bool = True
    address: str | None = None
    resources: Resources = field(default_factory=Resources)


class Executor(Protocol):
    """Runs cells; lives on from run to run."""

    @property
    def count(self) -> int:
        """Cells at once."""

    def prepare(self, backbones: Sequence[str], note: Callable[[str], None]) -> None:
        """Resolve the device and fetch weights; `note` is called with what is said meanwhile.

        Raises:
            UserError: the device or a backbone is out of reach.
        """

    def run(
        self,
        cells: Sequence[Cell],
        suite: str,
        digests: Mapping[str, Digests],
        store: Store,
        watcher: Watcher,
        timeout: float | None = None,
    ) -> None:
        """Do each cell once, beside whoever else works on this folder; its record is stored when it is told.

        Raises:
            Interrupted: by SIGINT or SIGTERM.
            UserError: it cannot go on; what is recorded is kept.
        """

    def close(self) -> None:
        """Let go of what it holds."""


def _local(ask: Ask) -> Executor:
    from bench.executors.workers import Workers

    asked = ask.resources
    return Workers(
        ask.device,
        asked.workers or 1,
        ask.share,
        devices_per_cell=asked.devices_per_cell,
        cells_per_device=asked.cells_per_device,
        keep_features=asked.keep_features,
    )


def _ray(ask: Ask) -> Executor:
    _needs("ray", "ray")
    from bench.executors.ray import Cluster
    from bench.executors.workers import Workers

    cluster = Cluster(ask.address, ask.device, ask.resources)
    asked = ask.resources
    return Workers(
        ask.device,
        asked.workers,
        ask.share,
        launcher=cluster,
        devices_per_cell=asked.devices_per_cell,
        keep_features=asked.keep_features,
    )


def _slurm(ask: Ask) -> Executor:
    _needs("slurm", "submitit")
    from bench.executors.slurm import Slurm

    return Slurm(ask.device, ask.share, ask.resources)


FACTORIES: dict[str, Callable[[Ask], Executor]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def create(name: str, ask: Ask) -> Executor:
    """The executor of that name.

    Raises:
        UserError: there is none, its packages are missing, what it runs on cannot be reached, or what cells
            are to take does not go together.
    """
    check_name("executor", name, FACTORIES)
    ask.resources.check()
    return FACTORIES[name](ask)


def _needs(extra: str, package: str) -> None:
    if find_spec(package) is None:
        raise UserError(
            f"--executor {extra} needs the package {package}: pip install 'transfer-bench[{extra}]'"
        )
