"""`bench tune`: search a method's hyperparameters with Optuna, on nothing but what the protocol allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from bench.commands.experiments.request import narrow
from bench.commands.experiments.session import Means, run_cells, today
from bench.core.errors import UserError
from bench.core.paths import RESULTS
from bench.data.catalog import load_card
from bench.method.registry import explicit, search_space
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell, Value
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite

FOLDS = 2
"""Folds of the shots that a trial is scored on; each holds out one image per class."""


@dataclass(frozen=True)
class Request:
    """The command line's options."""

    suite: str
    method: str
    trials: int
    source: str | None
    target: str | None
    device: str
    results: str | None


class Untried(UserError):
    """A method can do none of the cells that it would be tried on."""


def tune(request: Request) -> int:
    """Run what is missing of a study's trials; returns the exit code."""
    suite = narrow(request.suite, methods=[request.method], source=request.source, target=request.target)
    space = search_space(request.method)
    if not space:
        raise UserError(f"{request.method} declares no search space: none of its fields is tunable")
    store = Store(request.results or RESULTS / f"{suite.name}-tuning")
    where = f"{request.source or 'all'}-{request.target or 'all'}"
    study = search(suite, request.method, request.trials, Means(request.device), store, where)
    return _conclude(study, request.method, space)


def tuned(suite: Suite, means: Means, store: Store) -> Suite:
    """The suite with the hyperparameters that its budget's trials find; those that it sets itself stay.

    Every method gets the same number of trials; one that has nothing to tune, or can do none of the suite's
    cells, stays as it is.
    """
    found = dict(suite.set)
    for method in suite.methods:
        if not search_space(method):
            continue
        try:
            study = search(suite, method, suite.budget.trials, means, store, "suite")
        except Untried as reason:
            click.echo(f"not tuned: {reason}")
            continue
        complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
        if not complete:
            click.echo(f"{method}: every trial failed; it keeps its defaults", err=True)
            continue
        values = {name: _rounded(value) for name, value in study.best_params.items()}
        found[method] = explicit(method, {**values, **suite.set.get(method, {})})
    return suite.model_copy(update={"set": found})


def search(suite: Suite, method: str, trials: int, means: Means, store: Store, where: str) -> optuna.Study:
    """The study of a method on a suite, after `trials` trials; those that are recorded are not run again."""
    space = search_space(method)
    store.prepare()
    study = _study(store, f"{suite.name} {method} {where}")
    done = [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
    click.echo(f"study {study.study_name}: {len(done)} of {trials} trials done")
    if not study.trials:
        study.enqueue_trial({name: spec["default"] for name, spec in space.items() if _inside(spec)})
    for _ in range(trials - len(done)):
        trial = study.ask()
        values = {
            name: _rounded(trial.suggest_float(name, spec["low"], spec["high"], log=spec["log"]))
            for name, spec in space.items()
        }
        score = score_of(method, values, suite, means, store)
        study.tell(trial, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)
    return study


def _rounded(value: float) -> float:
    """As it is printed, so that what is copied from the terminal is what was tried."""
    return float(f"{value:.4g}")


def score_of(
    method: str, values: Mapping[str, Value], suite: Suite, means: Means, store: Store
) -> float | None:
    """Mean allowed score of a suite's cells under some hyperparameters; None when any of them fails."""
    fixed = suite.set.get(method, {})
    suite = suite.model_copy(
        update={
            "methods": [method],
            "set": {method: explicit(method, {**values, **fixed})},
            "budget": suite.budget.model_copy(update={"trials": 0}),
        }
    )
    cells = with_folds(plan(suite, load_card(suite.dataset)))
    digests = today(suite)
    todo, _ = store.missing(cells, digests)
    # Whoever tunes must not see how trials do on test images.
    run_cells(todo, suite, means, digests, store, allowed_score)
    records = [record for cell in cells if (record := store.read(cell.key))]
    if any(record.outcome.status == "failed" for record in records):
        return None
    scores = [score for record in records if (score := allowed_score(record)) is not None]
    if not scores:
        reason = records[0].outcome.reason if records else "none is tried, since all are episodes"
        raise Untried(f"{method} can do none of the suite's cells: {reason}")
    return sum(scores) / len(scores)


def with_folds(cells: Sequence[Cell]) -> list[Cell]:
    """The cells as they are tried: those with shots once per fold that is held out, and no episodes."""
    return [
        cell.model_copy(update={"fold": fold}) if fold is not None else cell
        for cell in cells
        if not cell.scenario.episodes
        for fold in (range(FOLDS) if cell.scenario.shots != 0 else [None])
    ]


def allowed_score(record: Record) -> float | None:
    """Accuracy at the last look on source validation images, or on the held-out shots; None if skipped."""
    if not record.evaluations:
        return None
    last = record.evaluations[-1]
    if record.request.cell.scenario.shots == 0:
        return last.accuracy.get("source-validation")
    return last.accuracy.get("shots-validation")


def _study(store: Store, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = Path(store.root) / "studies.journal"
    # The sampler's seed is fixed and moves on with each trial, so that a study that goes on does not repeat.
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    return study


def _inside(spec: dict[str, float]) -> bool:
    """Whether a default lies in its range; 0 that means "choose by yourself" does not."""
    return spec["low"] <= spec["default"] <= spec["high"]


def _conclude(study: optuna.Study, method: str, space: dict[str, dict[str, float]]) -> int:
    """Print the best trials and how to use the best one."""
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not complete:
        click.echo("every trial failed", err=True)
        return 1
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))
    table = Table(title=f"best of {len(complete)} trials", title_justify="left")
    for column in ("trial", "score, %", *space):
        table.add_column(column, justify="right")
    for trial in ranked[:5]:
        values = [f"{trial.params.get(name, float('nan')):.4g}" for name in space]
        table.add_row(str(trial.number), f"{100 * (trial.value or 0.0):.1f}", *values)
    Console().print(table)
    click.echo(f"[set.{method}]")
    for name, value in ranked[0].params.items():
        click.echo(f"{name} = {json.dumps(float(f'{value:.4g}'))}")
    return 0
