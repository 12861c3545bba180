"""One cell from start to finish: a question in, a record and its predictions out."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench.core.errors import CellFailed, CellSkipped, UserError
from bench.data.dataset import Progress
from bench.engine.cell.execution import Run
from bench.engine.cell.feature_export import WithFeatures
from bench.engine.cell.leader import Leader
from bench.engine.cell.settings import arithmetic, resolve
from bench.engine.training import memory
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import Ledger, Unit, calibration
from bench.engine.training.data_parallel import Solo, Team
from bench.method.batch import Access
from bench.method.registry import hyperparameters
from bench.records.record import Asked, Digests, Happened, Measured, Predictions, Record, Where
from bench.spec.cell import Cell, Setting


@dataclass(frozen=True)
class Context:
    """What the cells of one worker have in common."""

    suite: str
    setting: Setting
    where: Where
    artifacts: Artifacts = field(default_factory=Artifacts)
    checkpoints: Path | None = None
    """Folder in which long cells keep how far they are; None: nothing is kept."""
    devices: tuple[int, ...] = ()
    """Numbers of the accelerators that cells may take where one takes several; none: the first ones."""
    keep_features: bool = False
    """Whether features of test images go beside the predictions."""


def run_cell(
    cell: Cell, context: Context, digests: Digests, progress: Progress
) -> tuple[Record, Predictions]:
    """Run a cell. Whatever goes wrong inside it becomes its record's status and reason."""
    try:
        setting = resolve(cell, context.setting)
    except CellSkipped as reason:
        return _skipped(cell, context, digests, str(reason)), {}
    with arithmetic(setting, cell.precision):
        return _run(cell, setting, context, digests, progress)


def _skipped(cell: Cell, context: Context, digests: Digests, reason: str) -> Record:
    return Record(
        key=cell.key,
        created=_now(),
        asked=Asked(cell=cell, setting=context.setting, suite=context.suite),
        happened=Happened(status="skipped", reason=reason),
        digests=digests,
        where=context.where,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run(
    cell: Cell, setting: Setting, context: Context, digests: Digests, progress: Progress
) -> tuple[Record, Predictions]:
    device = torch.device(setting.device)
    calibrations = calibration(device)
    ledger = Ledger(device, timed=cell.setting is not None)
    team: Team = Solo()
    if setting.devices > 1:
        team = Leader(cell, setting, digests, context.artifacts, ledger, context.devices)
    run = (WithFeatures if context.keep_features else Run)(
        cell, setting, digests, context.artifacts, ledger, progress, context.checkpoints, team
    )
    predictions: Predictions = {}
    try:
        with contextlib.closing(team):
            predictions = run.go()
        happened = Happened(status="done")
    except CellSkipped as reason:
        happened = Happened(status="skipped", reason=str(reason))
    except (CellFailed, UserError) as reason:
        happened = Happened(status="failed", reason=str(reason))
    except (Exception, SystemExit) as error:
        first_line = (str(error).splitlines() or [""])[0]
        what = "out of memory" if memory.is_out(error) else type(error).__name__
        happened = Happened(
            status="failed", reason=f"{what}: {first_line}".strip(": "), log=traceback.format_exc(limit=-8)
        )
    seconds = dict(ledger.phases.seconds)
    training = sum(s for phase, s in seconds.items() if phase.endswith("-stage"))
    peak, energy = ledger.memory.read(), ledger.energy.read()
    if ledger.devices > 1 and device.type != "cpu":
        energy = None  # That of the first one would look like a saving.
    after = calibration(device)
    # A short cell finds the calibration before it still fresh: the same numbers are no more evidence twice.
    unit = Unit.of(calibrations if after is calibrations else calibrations + after)
    trained = sum(s for phase, s in ledger.shared_seconds.items() if phase.endswith("-stage")) + training
    record = Record(
        key=cell.key,
        created=_now(),
        asked=Asked(cell=cell, setting=setting, suite=context.suite),
        happened=happened,
        digests=digests,
        where=context.where,
        measured=Measured(
            seconds=seconds,
            shared_seconds=dict(ledger.shared_seconds),
            images_seen=ledger.images_seen,
            streams=dict(ledger.streams),
            images_per_second=ledger.images_seen / trained if trained else None,
            parameters=ledger.parameters,
            parameters_trained=ledger.parameters_trained,
            devices=ledger.devices,
            peak_memory_bytes=peak,
            steps=ledger.tempo.steps(),
            predicted_per_second=ledger.tempo.predicted_per_second,
            flops_per_step=ledger.tempo.flops,
            energy_joules=energy,
            calibration_seconds=unit.seconds,
            calibration_error=unit.error,
        ),
        images_from=run.images_from,
        warnings=run.warnings,
        adapts=Access.TARGET_IMAGES in run.method.access,
        hyperparameters=hyperparameters(run.method),
        discrepancy_before=run.discrepancy_before,
        looks=run.looks,
        selected=run.selected if happened.status == "done" else {},
        details=run.details,
    )
    return record, predictions
