"""Measurements of the history from records, and from files of pytest-benchmark."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from bench.core.errors import UserError
from bench.core.files import read_bounded
from bench.core.text import moment
from bench.records.store import Store
from bench.report.history.measurement import Entry, Key, Measurement
from bench.report.regression.paired_cells import Side, sides
from bench.report.scores.words import metric_name
from bench.spec.cell import Setting, content_hash

LARGEST = 2**28
"""Largest file of benchmarks in bytes."""
BENCHMARKS = "pytest-benchmark"
"""Name in place of a suite where benchmarks were run."""

NO_REVISION = "name it with --revision, as in --revision $(git rev-parse HEAD)"


def from_records(store: Store, revision: str | None = None) -> list[Measurement]:
    """Measurement of each suite, revision, machine and setting of the records.

    Args:
        revision: what to take as the revision of all records; default: the one they hold.

    Raises:
        UserError: a record without a revision, and none is given.
    """
    groups: dict[Key, list[Side]] = defaultdict(list)
    for side in sides(store).values():
        known = revision or side.revision
        if known is None:
            raise UserError(f"records in '{store.root}' hold no git revision: {NO_REVISION}")
        groups[Key(side.suite, known, side.machine or "", _words(side.setting))].append(side)
    return [_measurement(key, group) for key, group in groups.items()]


def _words(setting: Setting) -> str:
    threads = "1 thread" if setting.threads == 1 else f"{setting.threads} threads"
    return (
        f"{setting.device}, {threads}"
        + ("" if setting.channels_last else ", channels first")
        + (f", {setting.devices} devices" if setting.devices > 1 else "")
    )


def _measurement(key: Key, group: Sequence[Side]) -> Measurement:
    by_method: dict[str, list[Side]] = defaultdict(list)
    several = len({side.metric for side in group}) > 1
    for side in group:
        # A mean over cells that are judged otherwise would be of nothing.
        by_method[f"{side.method} by {metric_name(side.metric)}" if several else side.method].append(side)
    units = [unit for side in group if (unit := side.unit)]
    return Measurement(
        **key._asdict(),
        date=max(moment(side.created) for side in group),
        # Of a run, not of a cell: single calibrations vary more than cells do.
        calibration_seconds=median(units) if units else None,
        entries={name: _entry(found) for name, found in sorted(by_method.items())},
    )


def _entry(found: Sequence[Side]) -> Entry:
    done = [side for side in found if side.answers]
    times = {f"{side.key} {phase}": s for side in done for phase, s in side.trained.items()}
    total = sum(times.values())
    return Entry(
        accuracy=fmean(side.accuracy for side in done) if done else None,
        metric=next((side.metric for side in done if side.metric != "accuracy"), None),
        asked=content_hash({side.key: side.dataset for side in done}) if done else "",
        seconds=total if total > 0 else None,
        timed=content_hash(sorted(times)) if total > 0 else "",
    )


class _Stats(BaseModel):
    median: FiniteFloat


class _Benchmark(BaseModel):
    fullname: str
    stats: _Stats


class _Benchmarks(BaseModel):
    """Parts of pytest-benchmark's JSON that are read."""

    machine_info: dict[str, Any] = {}
    commit_info: dict[str, Any] = {}
    benchmarks: list[_Benchmark]
    datetime: str


def from_benchmarks(path: Path, revision: str | None = None) -> Measurement:
    """Measurement of a file that `pytest --benchmark-json` wrote: the median of each benchmark.

    Fingerprint and calibration are those that `tests/speed/conftest.py` adds; in files of other projects
    pytest-benchmark's own description of the machine stands for the fingerprint.

    Raises:
        UserError: the file cannot be read, is something else, or holds no revision and none is given.
    """
    try:
        found = _Benchmarks.model_validate_json(read_bounded(path, LARGEST))
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from None
    except ValidationError:
        raise UserError(f"'{path}' is not what pytest --benchmark-json writes: make it anew") from None
    known = revision or found.commit_info.get("id")
    if not isinstance(known, str):
        raise UserError(f"'{path}' holds no git revision: {NO_REVISION}")
    dirty = "+" if not revision and found.commit_info.get("dirty") else ""
    machine = found.machine_info.get("fingerprint")
    unit = found.machine_info.get("calibration_seconds")
    timed = [entry for entry in found.benchmarks if entry.stats.median > 0]
    return Measurement(
        suite=BENCHMARKS,
        revision=known + dirty,
        date=moment(found.datetime),
        machine=machine if isinstance(machine, str) else _described(found.machine_info),
        calibration_seconds=unit if isinstance(unit, float) and unit > 0 else None,
        entries={e.fullname: Entry(seconds=e.stats.median, timed=content_hash(e.fullname)) for e in timed},
    )


def _described(machine: dict[str, Any]) -> str:
    """Fingerprint from pytest-benchmark's description, without what changes with every update."""
    lasting = {name: machine.get(name) for name in ("node", "machine", "processor")}
    cpu = machine.get("cpu")
    named = {name: cpu.get(name) for name in ("brand_raw", "count")} if isinstance(cpu, dict) else {}
    return content_hash(json.loads(json.dumps({**lasting, **named}, default=str)))
