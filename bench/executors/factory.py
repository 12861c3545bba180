"""Executors by name; the modules of each are imported when it is created."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Protocol

from bench.core.errors import UserError, check_name
from bench.executors.protocol import ExecutorOptions, TrialImages, Watcher
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell


class Executor(Protocol):
    """Runs cells; lives on from run to run."""

    @property
    def count(self) -> int:
        """Cells at once."""

    def prepare(
        self, backbones: Sequence[str], note: Callable[[str], None], images: TrialImages | None = None
    ) -> None:
        """Resolve the device, fetch weights and try them on images; `note` is called with notes on that.

        Raises:
            UserError: the device or a backbone is out of reach, or no backbone can take the images.
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
        """Do each cell once, beside other processes that work on this folder; a finished cell is stored.

        Raises:
            Interrupted: by SIGINT, SIGTERM or SIGHUP.
            UserError: it cannot go on; what is recorded is kept.
        """

    def close(self) -> None:
        """Release its resources."""


def _local(options: ExecutorOptions) -> Executor:
    from bench.executors.worker_pool import WorkerPool

    return WorkerPool(options)


def _ray(options: ExecutorOptions) -> Executor:
    _check_installed("ray", "ray")
    from bench.executors.ray import RayCluster
    from bench.executors.worker_pool import WorkerPool

    return WorkerPool(options, RayCluster(options))


def _slurm(options: ExecutorOptions) -> Executor:
    _check_installed("slurm", "submitit")
    from bench.executors.slurm import Slurm

    return Slurm(options)


FACTORIES: dict[str, Callable[[ExecutorOptions], Executor]] = {"local": _local, "ray": _ray, "slurm": _slurm}


def create(name: str, options: ExecutorOptions) -> Executor:
    """Create the executor of that name.

    Raises:
        UserError: there is none, its packages are missing, what it runs on cannot be reached, or what cells
            are to take does not go together.
    """
    check_name("executor", name, FACTORIES)
    options.resources.check()
    return FACTORIES[name](options)


def _check_installed(extra: str, package: str) -> None:
    if find_spec(package) is None:
        raise UserError(
            f"--executor {extra} needs the package {package}: pip install 'transfer-bench[{extra}]'"
        )
