"""Placement of workers on the accelerators of a machine: a pure function."""

from __future__ import annotations

from collections.abc import Sequence


def assign_devices(
    workers: int, devices: Sequence[int], per_cell: int = 1, cells: int = 1
) -> list[list[int]]:
    """Assign accelerators to each worker that there is room for, by number, in the order of the workers.

    The first workers go to devices of their own; only then are devices shared.

    Args:
        workers: how many are wanted.
        devices: numbers of the accelerators there are; none: workers need none, and all have room.
        per_cell: accelerators of one cell.
        cells: cells that share an accelerator.

    >>> assign_devices(4, [0, 1], cells=2)
    [[0], [1], [0], [1]]
    """
    if not devices:
        return [[] for _ in range(workers)]
    groups = [[*devices[n : n + per_cell]] for n in range(0, len(devices) - per_cell + 1, per_cell)]
    return [groups[n % len(groups)] for n in range(min(workers, len(groups) * cells))]
