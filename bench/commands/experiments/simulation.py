"""Simulation of how `bench.executors` schedules cells on many workers. Pure.

A worker takes the next cell in order, preferring a family that no worker is working on. An artifact is made
by the first cell that needs it, and other cells that need it wait until it is there. This is list scheduling
(Graham 1969, https://doi.org/10.1137/0117039).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduledCell:
    """Cell to schedule: its own seconds, the keys of the artifacts that it needs, and its family."""

    own: float
    artifacts: tuple[str, ...] = ()
    family: Hashable = None


@dataclass(frozen=True)
class Schedule:
    """Times of a simulated schedule, in seconds."""

    makespan: float
    """From the first start to the last end."""
    work: float
    """Sum over all workers, without waiting."""
    critical_path: float
    """Longest chain of work that cannot overlap: an artifact, then a cell that needs it."""
    workers: int

    @property
    def utilisation(self) -> float:
        """Share of the workers' time in which they work, in [0, 1]."""
        return self.work / (self.workers * self.makespan) if self.makespan else 1.0


def simulate(cells: Sequence[ScheduledCell], artifact_seconds: Mapping[str, float], workers: int) -> Schedule:
    """Schedule cells on workers; `artifact_seconds` are the seconds that making each artifact takes."""
    free = [(0.0, worker) for worker in range(workers)]
    ready: dict[str, float] = {}
    active: Counter[Hashable] = Counter()
    family_of: dict[int, Hashable] = {}
    waiting: dict[Hashable, list[int]] = {}
    for place, cell in enumerate(cells):
        waiting.setdefault(cell.family, []).append(place)
    for places in waiting.values():
        places.reverse()
    end = 0.0
    for _ in cells:
        now, worker = heapq.heappop(free)
        active[family_of.pop(worker, _NONE)] -= 1
        family = min(waiting, key=lambda name: (active[name] > 0, waiting[name][-1]))
        cell = cells[waiting[family].pop()]
        if not waiting[family]:
            del waiting[family]
        family_of[worker] = family
        active[family] += 1
        for key in cell.artifacts:
            if key not in ready:
                ready[key] = now + artifact_seconds[key]
            now = max(now, ready[key])
        now += cell.own
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    used = {key for cell in cells for key in cell.artifacts}
    return Schedule(
        makespan=end,
        work=sum(cell.own for cell in cells) + sum(artifact_seconds[key] for key in used),
        critical_path=max(
            (
                cell.own + max((artifact_seconds[key] for key in cell.artifacts), default=0.0)
                for cell in cells
            ),
            default=0.0,
        ),
        workers=workers,
    )


_NONE = object()
