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
from bench.engine.training.cost import CostTracker, Unit, calibration
from bench.engine.training.data_parallel import ProcessGroup, SingleProcessGroup
from bench.method.batch import Access
from bench.method.registry import hyperparameters
from bench.records.record import Cost, Digests, Environment, Outcome, Predictions, Record, Request
from bench.spec.cell import Cell, Setting


@dataclass(frozen=True)
class Context:
    """What the cells of one worker have in common."""

    suite: str
    setting: Setting
    environment: Environment
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
        request=Request(cell=cell, setting=context.setting, suite=context.suite),
        outcome=Outcome(status="skipped", reason=reason),
        digests=digests,
        environment=context.environment,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run(
    cell: Cell, setting: Setting, context: Context, digests: Digests, progress: Progress
) -> tuple[Record, Predictions]:
    device = torch.device(setting.device)
    calibrations = calibration(device)
    cost_tracker = CostTracker(device, timed=cell.setting is not None)
    team: ProcessGroup = SingleProcessGroup()
    if setting.devices > 1:
        team = Leader(cell, setting, digests, context.artifacts, cost_tracker, context.devices)
    run = (WithFeatures if context.keep_features else Run)(
        cell, setting, digests, context.artifacts, cost_tracker, progress, context.checkpoints, team
    )
    predictions: Predictions = {}
    try:
        with contextlib.closing(team):
            predictions = run.go()
        outcome = Outcome(status="done")
    except CellSkipped as reason:
        outcome = Outcome(status="skipped", reason=str(reason))
    except (CellFailed, UserError) as reason:
        outcome = Outcome(status="failed", reason=str(reason))
    except (Exception, SystemExit) as error:
        first_line = (str(error).splitlines() or [""])[0]
        what = "out of memory" if memory.is_out(error) else type(error).__name__
        outcome = Outcome(
            status="failed", reason=f"{what}: {first_line}".strip(": "), log=traceback.format_exc(limit=-8)
        )
    seconds = dict(cost_tracker.phases.seconds)
    training = sum(s for phase, s in seconds.items() if phase.endswith("-stage"))
    peak, energy = cost_tracker.memory.read(), cost_tracker.energy.read()
    if cost_tracker.devices > 1 and device.type != "cpu":
        energy = None  # That of the first one would look like a saving.
    after = calibration(device)
    # A short cell finds the calibration before it still fresh: the same numbers are no more evidence twice.
    unit = Unit.of(calibrations if after is calibrations else calibrations + after)
    trained = (
        sum(s for phase, s in cost_tracker.shared_seconds.items() if phase.endswith("-stage")) + training
    )
    record = Record(
        key=cell.key,
        created=_now(),
        request=Request(cell=cell, setting=setting, suite=context.suite),
        outcome=outcome,
        digests=digests,
        environment=context.environment,
        cost=Cost(
            seconds=seconds,
            shared_seconds=dict(cost_tracker.shared_seconds),
            items_seen=cost_tracker.items_seen,
            streams=dict(cost_tracker.streams),
            items_per_second=cost_tracker.items_seen / trained if trained else None,
            parameters=cost_tracker.parameters,
            parameters_trained=cost_tracker.parameters_trained,
            devices=cost_tracker.devices,
            peak_memory_bytes=peak,
            steps=cost_tracker.throughput.steps(),
            predictions_per_second=cost_tracker.throughput.predictions_per_second,
            flops_per_step=cost_tracker.throughput.flops,
            energy_joules=energy,
            calibration_seconds=unit.seconds,
            calibration_error=unit.error,
        ),
        data_origin=run.data_origin,
        warnings=run.warnings,
        adapts=Access.TARGET_IMAGES in run.method.access,
        hyperparameters=hyperparameters(run.method),
        discrepancy_before=run.discrepancy_before,
        evaluations=run.evaluations,
        selected=run.selected if outcome.status == "done" else {},
        details=run.details,
    )
    return record, predictions
