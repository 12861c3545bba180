"""Checkpoints of a cell on disk at bounded intervals: a cell whose process ended goes on from there.

A checkpoint is tensors and JSON, whole or absent like a record, in a file that is named by all that decides
what the cell computes: one of other code or data is never taken up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.digest import combine
from bench.engine.training.artifacts import Made, Tensors, pack, plain, unpack
from bench.engine.training.cost import CostTracker
from bench.processes import signals

EVERY = 30.0
"""Seconds of work between two checkpoints of a cell."""

LOG = logging.getLogger(__name__)


class Checkpoint:
    """Checkpoint of one piece of work. Without a path nothing is kept, and nobody is stopped."""

    def __init__(self, path: Path | None, cost_tracker: CostTracker) -> None:
        self._path, self._cost_tracker = path, cost_tracker
        self._last = time.monotonic()
        self._before = cost_tracker.phases.now()

    def load(self) -> Made | None:
        """Tensors and notes as they were saved last; the seconds until then are added to the tracker's."""
        found = unpack(self._path) if self._path else None
        if found is None:
            return None
        tensors, kept = found
        for phase, seconds in kept["seconds"].items():
            self._cost_tracker.phases.seconds[phase] += seconds
        return tensors, kept["notes"]

    @property
    def kept(self) -> bool:
        """True if there is a place to save to."""
        return self._path is not None

    def due(self) -> bool:
        """True if the last one is long ago, or the work is to stop."""
        late = time.monotonic() - self._last >= EVERY
        return self._path is not None and (late or signals.stop_requested())

    def save(self, tensors: Tensors, notes: Any) -> None:
        """Keep this instead of what was kept; the time that it takes is a phase of its own.

        Raises:
            Stopped: the work is to stop.
        """
        assert self._path is not None, "nothing is due without a path"
        with self._cost_tracker.phases("checkpoint"):
            now, before = self._cost_tracker.phases.now(), self._before
            seconds = {phase: now[phase] - before.get(phase, 0.0) for phase in now}
            try:
                pack(self._path, *plain(lambda: (tensors, {"notes": notes, "seconds": seconds})))
            except OSError as error:
                LOG.warning("no checkpoint: %s (%s)", self._path.parent, error.strerror or error)
            self._last = time.monotonic()
        if signals.stop_requested():
            raise signals.Stopped


class Checkpoints:
    """The checkpoints of one cell."""

    def __init__(
        self, folder: Path | None, key: str, cost_tracker: CostTracker, decisive: Mapping[str, Any]
    ) -> None:
        self._folder, self._key, self._cost_tracker = folder, key, cost_tracker
        self._decisive = combine(*(f"{name} {value}" for name, value in sorted(decisive.items())))

    def of(self, work: str) -> Checkpoint:
        """The checkpoint of a piece of work, by its name."""
        if self._folder is None:
            return Checkpoint(None, self._cost_tracker)
        return Checkpoint(
            self._folder / f"{self._key}-{work}-{self._decisive}.safetensors", self._cost_tracker
        )

    def clear(self) -> None:
        """The cell is done: also what other code has left of it goes. It has not failed if some cannot go."""
        try:
            for path in self._folder.glob(f"{self._key}-*") if self._folder else ():
                path.unlink(missing_ok=True)
        except OSError as error:
            LOG.warning("checkpoints stay in %s (%s)", self._folder, error.strerror or error)
