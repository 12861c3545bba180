"""MLflow: an experiment per suite, a run per cell. https://mlflow.org"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from bench.core.errors import UserError
from bench.core.files import make_folder, sync_folder
from bench.report.scores.runs import Run

KEY, ANSWER, REPLACED = "key", "answer", "replaced"
"""Tags: the cell's key, the digest of what was written, and whether a newer run of the cell is there."""
MOST = 1000
"""Metrics that one request may hold."""


def write(runs: Iterable[Run], where: str | None) -> str:
    """Write to a tracking server, or `mlflow.db` in a folder; by default where MLflow's settings say."""
    # It tells of every table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    address = where
    try:
        if where and "://" not in where:
            address = f"sqlite:///{_database(Path(where))}"
        client = MlflowClient(address)
        for run in runs:
            found = client.get_experiment_by_name(run.suite)
            experiment = found.experiment_id if found else client.create_experiment(run.suite)
            known = client.search_runs([experiment], f"tags.{KEY} = '{run.key}'")
            there = [one for one in known if _holds(one, run)]
            if not there:
                _write(client, experiment, run)
            for one in known:
                # Of cells that were run again; one may have been restored.
                if (one.data.tags.get(REPLACED) == "true") is (one in there):
                    client.set_tag(one.info.run_id, REPLACED, "false" if one in there else "true")
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        # With the statement that failed, over many lines.
        raise UserError(f"MLflow: {str(error).splitlines()[0]}") from None
    address = address or str(get_tracking_uri())
    return f"{address}: mlflow ui --backend-store-uri {address}"


def _database(folder: Path) -> Path:
    """Database in a folder, which gets its name when it is whole: MLflow cannot go on with half of one."""
    path = folder.absolute() / "mlflow.db"
    make_folder(folder)
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as temporary:
            made = Path(temporary).absolute() / path.name
            MlflowClient(f"sqlite:///{made}").search_experiments()
            made.replace(path)
        sync_folder(folder)
    return path


def _holds(one: MlflowRun, run: Run) -> bool:
    """Return True if a run is this one; those of earlier versions do not say, but when they were made."""
    answer = one.data.tags.get(ANSWER)
    return one.info.start_time == int(1000 * run.started) if answer is None else answer == run.answer


def _write(client: MlflowClient, experiment: str, run: Run) -> None:
    moment = int(1000 * run.started)
    made = client.create_run(experiment, start_time=moment, run_name=run.name).info.run_id
    metrics = [Metric(name, value, moment, 0) for name, value in run.metrics.items()]
    metrics += [
        Metric(f"{stage}-stage/{name}", value, moment, step)
        for stage, step, values in run.evaluations
        for name, value in values.items()
    ]
    for start in range(0, len(metrics), MOST):
        client.log_batch(made, metrics=metrics[start : start + MOST])
    client.log_batch(made, params=[Param(name, str(value)) for name, value in run.params.items()])
    client.set_terminated(made, "FINISHED", moment)
    # Last, because it says that the run is here: an interrupted one is written again.
    tags = {ANSWER: run.answer, **run.tags}
    client.log_batch(made, tags=[RunTag(name, value) for name, value in tags.items()])
