"""MLflow: an experiment per suite, a run per cell. https://mlflow.org"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from bench.core.errors import UserError
from bench.report.scores.runs import Run

KEY = "key"
MOST = 1000
"""Metrics that one request may hold."""


def write(runs: Iterable[Run], where: str | None) -> str:
    """Write to a tracking server, or `mlflow.db` in a folder; by default where MLflow's settings say."""
    # It tells of every table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    address = where
    try:
        if where and "://" not in where:
            Path(where).mkdir(parents=True, exist_ok=True)
            address = f"sqlite:///{Path(where).absolute() / 'mlflow.db'}"
        client = MlflowClient(address)
        for run in runs:
            found = client.get_experiment_by_name(run.suite)
            experiment = found.experiment_id if found else client.create_experiment(run.suite)
            if not client.search_runs([experiment], f"tags.{KEY} = '{run.key}'"):
                _write(client, experiment, run)
    except (MlflowException, ImportError, OSError) as error:
        raise UserError(f"MLflow: {error}") from None
    address = address or str(get_tracking_uri())
    return f"{address}: mlflow ui --backend-store-uri {address}"


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
    client.log_batch(made, tags=[RunTag(name, value) for name, value in run.tags.items()])
