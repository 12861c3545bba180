"""Weights & Biases: a project per suite, a run per cell. https://docs.wandb.ai"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import wandb

from bench.core.errors import UserError
from bench.report.scores.runs import Run


def write(runs: Iterable[Run], where: str | None) -> str:
    """Write by wandb's own settings (`WANDB_MODE=offline` keeps it here), with its files in `where`.

    A run's id is its cell's key, so that wandb takes the same run up again.
    """
    try:
        if where:
            Path(where).mkdir(parents=True, exist_ok=True)
        for run in runs:
            _write(run, where)
    except (wandb.errors.Error, OSError) as error:
        raise UserError(f"Weights & Biases: {error}; to stay on this machine: WANDB_MODE=offline") from None
    return f"{where or '.'}/wandb"


def _write(run: Run, where: str | None) -> None:
    with wandb.init(
        project=re.sub(r"[^\w.-]+", "-", run.suite) or "suite",
        id=run.key,
        name=run.name,
        config={**run.params, **{f"tag {name}": value for name, value in run.tags.items()}},
        dir=where,
        resume="allow",
        settings=wandb.Settings(silent=True, x_disable_stats=True, x_disable_meta=True, disable_git=True),
    ) as active:
        # The stages count their steps apart, and wandb's own step must never fall.
        for stage in dict.fromkeys(stage for stage, *_ in run.evaluations):
            active.define_metric(f"{stage}-stage/*", step_metric=f"{stage}-stage/step")
        for stage, step, metrics in run.evaluations:
            active.log({f"{stage}-stage/{name}": value for name, value in {"step": step, **metrics}.items()})
        active.summary.update(run.metrics)
