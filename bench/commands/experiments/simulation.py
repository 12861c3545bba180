"""How long a matrix takes on many workers: a simulation of how `bench.executors` hands out cells. Pure.

A worker takes the next cell in order, at first one of a family that no worker has in hand. What cells share
is made by the first that needs it, and whoever needs it meanwhile waits. That is list scheduling (Graham
1969, https://doi.org/10.1137/0117039).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A cell: seconds of its own, what it needs that others need too, and its family."""

    own: float
    needs: tuple[str, ...] = ()
    family: Hashable = None


@dataclass(frozen=True)
class Schedule:
    """What became of it, in seconds."""

    makespan: float
    """From the first start to the last end."""
    work: float
    """Of all workers together, waiting aside."""
    critical_path: float
    """The longest of what must follow each other: something shared, and a cell that needs it."""
    workers: int

    @property
    def utilisation(self) -> float:
        """Share of the workers' time in which they work, in [0, 1]."""
        return self.work / (self.workers * self.makespan) if self.makespan else 1.0


def simulate(tasks: Sequence[Task], prices: Mapping[str, float], workers: int) -> Schedule:
    """Hand out tasks to workers; `prices` are seconds that making each shared thing takes."""
    free = [(0.0, worker) for worker in range(workers)]
    ready: dict[str, float] = {}
    in_hand: Counter[Hashable] = Counter()
    doing: dict[int, Hashable] = {}
    waiting: dict[Hashable, list[int]] = {}
    for place, task in enumerate(tasks):
        waiting.setdefault(task.family, []).append(place)
    for places in waiting.values():
        places.reverse()
    end = 0.0
    for _ in tasks:
        now, worker = heapq.heappop(free)
        in_hand[doing.pop(worker, _NONE)] -= 1
        family = min(waiting, key=lambda name: (in_hand[name] > 0, waiting[name][-1]))
        task = tasks[waiting[family].pop()]
        if not waiting[family]:
            del waiting[family]
        doing[worker] = family
        in_hand[family] += 1
        for name in task.needs:
            if name not in ready:
                ready[name] = now + prices[name]
            now = max(now, ready[name])
        now += task.own
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    used = {name for task in tasks for name in task.needs}
    return Schedule(
        makespan=end,
        work=sum(task.own for task in tasks) + sum(prices[name] for name in used),
        critical_path=max(
            (task.own + max((prices[name] for name in task.needs), default=0.0) for task in tasks),
            default=0.0,
        ),
        workers=workers,
    )


_NONE = object()
