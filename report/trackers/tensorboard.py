"""TensorBoard: an event file per run, with its hyperparameters. https://www.tensorflow.org/tensorboard"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.report.scores.runs import Run

FOLDER = "runs"


def write(runs: Iterable[Run], where: str | None) -> str:
    """Write below a log directory, `runs` by default: a folder per suite, in it one per cell.

    What is there already is left as it is; of a cell that was run again the new run takes its place.
    """
    root = Path(where or FOLDER)
    try:
        for run in runs:
            target = root / (re.sub(r"[^\w-]+", "-", run.suite) or "suite") / run.key
            file = target / f"events.out.tfevents.{int(run.started)}.{run.key}.{run.answer}"
            if not file.exists():
                # The library's own writer leaves writing to a thread, whose errors nobody is told.
                write_atomically(file, _content(run))
            # Those of one folder are shown as one run.
            for other in {*target.glob(f"events.out.tfevents.*.{run.key}*")} - {file}:
                other.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to '{root}': {error.strerror or error}") from None
    return f"{root}: tensorboard --logdir {root}"


def _content(run: Run) -> bytes:
    """Event file of a run."""
    summaries = [(0, _start(run))]
    for stage, step, metrics in run.evaluations:
        summaries.append((step, _scalars({f"{stage}-stage/{k}": v for k, v in metrics.items()})))
    summaries.append((0, _scalars(run.metrics)))
    end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=run.started)
    done = HParamsPluginData(session_end_info=end)
    summaries.append((0, _hyperparameters(metadata.SESSION_END_INFO_TAG, done)))
    events = [
        Event(wall_time=run.started, file_version="brain.Event:2"),
        *(Event(wall_time=run.started, step=step, summary=summary) for step, summary in summaries),
    ]
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    return file.getvalue()


def _scalars(values: dict[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _start(run: Run) -> Summary:
    # The library's own helper for this needs TensorFlow.
    info = SessionStartInfo(group_name=run.name, start_time_secs=run.started)
    for name, value in run.params.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    return _hyperparameters(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def _hyperparameters(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
