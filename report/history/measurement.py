"""Measurement of one revision in one suite on one machine: a line of the history."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import AwareDatetime, Field, FiniteFloat

from bench.spec.metrics import Metric
from bench.spec.toml import Frozen


class Entry(Frozen):
    """Entry of one method, or of one benchmark.

    accuracy: percent, the mean over the cells that are done; None: there are none, or it has none.
    metric: name of what `accuracy` is of, where cells are judged otherwise; None: of accuracy.
    asked: digest of which cells these are, on which images; what is compared has the same.
    seconds: wall time of the training that was done, or of the benchmark; None: nothing was timed.
    timed: digest of what was timed, likewise.
    """

    accuracy: FiniteFloat | None = None
    metric: Metric | None = None
    asked: str = ""
    seconds: FiniteFloat | None = Field(None, gt=0)
    timed: str = ""


class Key(NamedTuple):
    """Identity of a measurement: there is one of each."""

    suite: str
    revision: str
    machine: str
    setting: str


class Measurement(Frozen):
    """Accuracy and seconds of one revision, by method or benchmark.

    date: of the revision, where git knows it; else when it was measured.
    machine: its fingerprint (see `record.Environment`); empty where it is not known, and seconds say nothing.
    setting: device and threads, in words.
    calibration_seconds: what a fixed piece of work took at the time, the unit of `seconds`; None: not known.
    """

    schema_version: Literal[1] = 1
    suite: str
    revision: str
    date: AwareDatetime
    machine: str = ""
    setting: str = ""
    calibration_seconds: FiniteFloat | None = Field(None, gt=0)
    entries: dict[str, Entry]

    @property
    def key(self) -> Key:
        """Identity of the measurement."""
        return Key(self.suite, self.revision, self.machine, self.setting)
