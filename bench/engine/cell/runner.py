"""Runner of one cell from start to finish: a question in, a record and its predictions out."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import CellFailed, CellSkipped, InputsChanged, UserError, place_in
from bench.core.text import private
from bench.data.dataset import Progress
from bench.engine.cell.digests import check_code, with_own_weights
from bench.engine.cell.env import CellEnv
from bench.engine.cell.execution import CellExecution
from bench.engine.cell.feature_export import ExecutionWithFeatures
from bench.engine.cell.leader import Leader
from bench.engine.cell.process_state import put_back
from bench.engine.cell.settings import arithmetic, resolve
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import CalibrationUnit, CostTracker, calibration
from bench.engine.training.data_parallel import ProcessGroup, SingleProcessGroup
from bench.method.batch import Access
from bench.method.registry import control_of, hyperparameters
from bench.processes import memory
from bench.records.record import Digests, Environment, Outcome, Predictions, Record, Request, Status
from bench.spec.cell import Cell, Setting


@dataclass(frozen=True)
class Context:
    """Context that the cells of one worker share."""

    suite: str
    setting: Setting
    environment: Environment
    artifacts: Artifacts = field(default_factory=Artifacts)
    checkpoints: Path | None = None
    """Folder in which long cells keep how far they are; None: nothing is kept."""
    devices: tuple[int, ...] = ()
    """Numbers of the accelerators that cells may take where one takes several; none: the first ones."""
    keep_features: bool = False
    """True if features of test images go beside the predictions."""
    retire: Callable[[], object] = bool
    """Called if a cell has changed its process's state: other cells had better run in a fresh one."""


def run_cell(
    cell: Cell, context: Context, digests: Digests, progress: Progress
) -> tuple[Record, Predictions]:
    """Run a cell. Whatever goes wrong inside it becomes its record's status and reason.

    Raises:
        OldProcess: nothing is wrong but that this process has loaded older code.
    """
    changed: list[str] = []
    try:
        setting = resolve(cell, context.setting)
        digests = with_own_weights(digests, cell)
        check_code(cell.method, digests)
        with arithmetic(setting, cell.precision), put_back(changed):
            record, predictions = _run(cell, setting, context, digests, progress)
    except (CellSkipped, CellFailed, UserError) as reason:
        # The run goes on with other cells.
        status: Status = "skipped" if isinstance(reason, CellSkipped) else "failed"
        outcome = Outcome(status=status, reason=private(str(reason)))
        if isinstance(reason, InputsChanged):
            # Of no one code: the record is stale to any run, which says nothing about the question.
            digests = digests.without_method
        record, predictions = _record(cell, context.setting, context, digests, outcome), {}
    if changed:
        context.retire()
        text = f"the cell left its process changed, which was put back: {', '.join(changed)}"
        record = record.model_copy(update={"warnings": (*record.warnings, text)})
    return record, predictions


def _record(
    cell: Cell, setting: Setting, context: Context, digests: Digests, outcome: Outcome, **results: Any
) -> Record:
    return Record(
        key=cell.key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        request=Request(cell=cell, setting=setting, suite=context.suite),
        outcome=outcome,
        digests=digests,
        environment=context.environment,
        **results,
    )


def _run(
    cell: Cell, setting: Setting, context: Context, digests: Digests, progress: Progress
) -> tuple[Record, Predictions]:
    control = control_of(cell.method)
    device = torch.device(setting.device)
    before = calibration(device)
    cost_tracker = CostTracker(device, timed=cell.setting is not None)
    env = CellEnv(cell, setting, digests, context.artifacts, cost_tracker, progress)
    group: ProcessGroup = SingleProcessGroup()
    if setting.devices > 1:
        group = Leader(env, context.devices)
    kind = ExecutionWithFeatures if context.keep_features else CellExecution
    execution = kind(env, context.checkpoints, group)
    outcome, predictions = _outcome(execution, group)
    cost = cost_tracker.total()
    after = calibration(device)
    # A short cell finds the calibration before it still fresh: the same numbers are no more evidence twice.
    unit = CalibrationUnit.of(before if after is before else before + after)
    record = _record(
        cell,
        setting,
        context,
        digests,
        outcome,
        cost=cost.model_copy(update={"calibration_seconds": unit.seconds, "calibration_error": unit.error}),
        data_origin=private(execution.data_origin),
        warnings=execution.warnings,
        adapts=Access.TARGET_IMAGES in execution.method.access or execution.method.streams(),
        hyperparameters=hyperparameters(execution.method),
        control=control,
        discrepancy_before=execution.discrepancy_before,
        evaluations=execution.evaluations,
        selected=execution.selected if outcome.status == "done" else {},
        details=execution.details,
        episodes=execution.episodes,
    )
    return record, predictions


def _outcome(execution: CellExecution, group: ProcessGroup) -> tuple[Outcome, Predictions]:
    """Run a cell to its end, whatever that is; raises `InputsChanged`."""
    try:
        with contextlib.closing(group):
            predictions = execution.run()
        return Outcome(status="done"), predictions
    except CellSkipped as reason:
        return Outcome(status="skipped", reason=private(str(reason))), {}
    except InputsChanged:
        raise
    except (CellFailed, UserError) as reason:
        return Outcome(status="failed", reason=private(str(reason))), {}
    except (Exception, SystemExit) as error:
        first_line = (str(error).splitlines() or [""])[0]
        if "more than 1 value per channel" in first_line:
            said = "batch norm has no statistics of a batch of one: use a batch_size of 2 or more"
            return Outcome(status="failed", reason=said), {}
        what = "out of memory" if memory.is_out(error) else type(error).__name__
        place = place_in(error, inspect.getsourcefile(type(execution.method)))
        said = f"{what}: {first_line}".strip(": ") + (f" ({place})" if place else "")
        if memory.is_out(error):
            said += ": use a smaller batch_size, a smaller image_size or another network"
        return Outcome(status="failed", reason=private(said), log=private(traceback.format_exc(limit=-8))), {}
