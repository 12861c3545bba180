"""`bench tune`: hyperparameter search with Optuna, on nothing but what the protocol allows."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from bench.commands.experiments.execution import outcomes, prepared, ready
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.options import SuiteOptions
from bench.commands.progress import percent
from bench.core.errors import UserError, check_name, did_you_mean
from bench.core.seeds import stream
from bench.core.text import counted
from bench.method.registry import explicit, method_digest, search_space, select_methods
from bench.records.record import Record
from bench.records.selection import label_free_scores
from bench.records.store import Store
from bench.spec.cell import Cell, Value, content_hash
from bench.spec.matrix.suite import Suite
from bench.spec.rules import LABEL_FREE, SHARES, SOURCE_VAL, TUNES_BY
from bench.spec.scenarios import KINDS

NAMED = ("suite", "methods", "source", "target")
"""Options that a study's name says in words."""

SCORED = "scored"
"""Attribute of a trial: places of the cells that its mean is over."""

SEAL = "checksum"
"""Field of a line of a journal."""

Space = dict[str, dict[str, Any]]
"""Ranges of the hyperparameters that are searched."""

FOLDS = 2
"""Folds of the shots that a trial is scored on; each holds out one image per class."""


@dataclass(frozen=True)
class TuneOptions:
    """Options of `bench tune`."""

    selection: SuiteOptions
    method: list[str]
    only: str | None
    trials: int
    rule: str
    device: str
    results: str | None


class Changed(Exception):
    """Trial whose code, images or card are not those that its study began with."""


class Untried(UserError):
    """Error of a method that can do none of the cells that it would be tried on."""


def tune(options: TuneOptions) -> int:
    """Run what is missing of each method's trials; returns the exit code."""
    check_name("rule that needs no target label", options.rule, LABEL_FREE)
    methods = select_methods(options.method)
    studies: dict[str, Tuned] = {}
    for method in methods:
        try:
            studies[method] = _tune(method, options)
        except Untried as reason:
            if len(methods) == 1:
                raise
            click.echo(f"not tuned: {reason}")
    if len(methods) == 1:
        return _conclude(studies[methods[0]], methods[0])
    click.echo(markdown(studies))
    failed = [method for method, found in studies.items() if not _complete(found.study)]
    for method in failed:
        click.echo(f"{method}: every trial failed", err=True)
    return 0 if studies and not failed else 1


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials of a study that have a score of every cell of which any trial has one.

    The mean over the cells that are left to a trial cannot be compared with its rivals'.
    """
    whole = _scored(study)
    return [
        trial
        for trial in study.trials
        if trial.state == TrialState.COMPLETE and whole <= {*trial.user_attrs.get(SCORED, whole)}
    ]


def _scored(study: optuna.Study) -> set[int]:
    """Places of the cells of which any trial of a study has a score."""
    return {place for trial in study.trials for place in trial.user_attrs.get(SCORED, ())}


def _tune(method: str, options: TuneOptions) -> Tuned:
    selection = replace(options.selection, methods=[method])
    plan = RunPlan.resolve(selection, options.results, ExecutionOptions(options.device), suffix="-tuning")
    space = search_space(method, plan.suite.recipe)
    if not space:
        raise Untried(f"{method} declares no search space: none of its fields is tunable")
    if options.only:
        if options.only not in space:
            raise Untried(f"{method} cannot tune '{options.only}': {did_you_mean(options.only, space)}")
        space = {options.only: space[options.only]}
    rule = "" if options.rule == TUNES_BY else options.rule
    what = " ".join(filter(None, [study_name(options.selection), options.only, rule]))
    study = search(plan, method, space, options.trials, what, options.rule)
    return Tuned(study, space, in_percent(judged(plan.cells, options.rule), options.rule))


class Tuned(NamedTuple):
    """A method's study, what it searched, and whether its scores are shares, printed as percent."""

    study: optuna.Study
    space: Space
    percent: bool

    @property
    def heading(self) -> str:
        """Heading of a column of scores."""
        return "score, %" if self.percent else "score"

    def shown(self, trial: optuna.trial.FrozenTrial | None) -> str:
        """Score of a trial as it is printed."""
        if trial is None:
            return "–"
        return f"{100 * _value(trial):.1f}" if self.percent else f"{_value(trial):.4g}"


def in_percent(cells: Sequence[Cell], rule: str) -> bool:
    """True if the scores of trials on these cells are shares: of shots, of source images, or by the rule."""
    return rule in SHARES or all(
        cell.scenario.shots != 0 or not KINDS[cell.scenario.kind].shows_target for cell in cells
    )


def judged(cells: Sequence[Cell], rule: str) -> list[Cell]:
    """Cells that trials are scored on: those whose scores are shares, or all where none are; no episodes.

    Shares and the scores of a rule in other units, as nats, have no mean.
    """
    tried = [cell for cell in cells if not cell.scenario.episodes]
    return [cell for cell in tried if in_percent([cell], rule)] or tried


def _value(trial: optuna.trial.FrozenTrial) -> float:
    return -math.inf if trial.value is None else trial.value


def markdown(studies: Mapping[str, Tuned]) -> str:
    """Table of each method's hyperparameters: the default and the best, with the scores of both."""
    score = next((found.heading for found in studies.values()), "score")
    rows = [f"| method | hyperparameter | default | {score} | best | {score} | trials |"]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for method, found in studies.items():
        study, space, _ = found
        complete = _complete(study)
        if not complete:
            continue
        best = max(complete, key=_value)
        for name in best.params:
            default = space[name]["default"]
            own = next((trial for trial in complete if trial.params[name] == default), None)
            tried = f"{default:g}", found.shown(own), f"{best.params[name]:.3g}", found.shown(best)
            cells = (method, name, *tried)
            rows.append(f"| {' | '.join(cells)} | {len(complete)} |")
    return "\n".join([*rows, ""])


def study_name(options: SuiteOptions) -> str:
    """Last part of a study's name: the domains, and a digest of what else differs from the suite."""
    other = {name: value for name, value in asdict(options).items() if value and name not in NAMED}
    domains = f"{','.join(options.source) or 'all'}-{','.join(options.target) or 'all'}"
    return f"{domains} {content_hash(other)}" if other else domains


def tuned(plan: RunPlan) -> Suite:
    """Tune a plan's suite with its budget's trials; hyperparameters that the suite sets itself stay.

    Every method gets the same number of trials; one that has nothing to tune, or can do none of the suite's
    cells, stays as it is.
    """
    suite = plan.suite
    overrides = dict(suite.set)
    for method in dict.fromkeys(cell.method for cell in plan.cells):
        if not (space := search_space(method, suite.recipe)):
            continue
        try:
            study = search(plan, method, space, suite.budget.trials, "suite")
        except Untried as reason:
            click.echo(f"not tuned: {reason}")
            continue
        if not (complete := _complete(study)):
            click.echo(f"{method}: every trial failed; it keeps its defaults", err=True)
            continue
        best = max(complete, key=_value)
        values = {name: _rounded(value) for name, value in best.params.items()}
        overrides[method] = explicit(method, {**values, **suite.set.get(method, {})}, suite.recipe)
    return suite.model_copy(update={"set": overrides})


def search(
    plan: RunPlan, method: str, space: Space, trials: int, what: str, rule: str = TUNES_BY
) -> optuna.Study:
    """Run a method's study up to a number of trials; `what` is the last part of the study's name.

    Trials that are recorded are not run again. Where the method's code or the images change meanwhile, they
    begin anew.
    """
    if method_digest(method) != plan.digests[method].method:
        plan = replace(plan)
    with prepared(plan.store):
        # What is refused leaves no study behind.
        plan = ready(plan, plan.cells)
        name = f"{plan.suite.name} {method} {what}"
        study = _study(plan.store, name, _question(plan, method, rule))
        done = [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
        click.echo(f"study {name}: {len(done)} of {trials} trials done")
        _say_unjudged([cell for cell in plan.cells if cell.method == method], rule)
        if not study.trials:
            study.enqueue_trial({name: spec["default"] for name, spec in space.items() if _inside(spec)})
        for _ in range(trials - len(done)):
            trial = next_trial(study)
            values = suggested(trial, space)
            try:
                scores = trial_scores(plan, method, values, rule)
            except Changed:
                return search(_changed(plan, method), method, space, trials, what, rule)
            # Another process that goes on with this study may have told the same.
            with contextlib.suppress(UpdateFinishedTrialError):
                trial.set_user_attr(SCORED, sorted(scores))
            mean = sum(scores.values()) / len(scores) if scores and _scored(study) <= scores.keys() else None
            state = TrialState.FAIL if mean is None else TrialState.COMPLETE
            study.tell(trial, mean, state=state, skip_if_finished=True)
        whole = _scored(study)
        for each in study.trials:
            found = {*each.user_attrs.get(SCORED, whole)}
            if found and (lost := len(whole - found)):
                lacking = f"{lost} of {counted(len(whole), 'cell')}"
                click.echo(f"trial {each.number} is left out: no score of {lacking} that others have")
        return study


def _say_unjudged(cells: Sequence[Cell], rule: str) -> None:
    tried = [cell for cell in cells if not cell.scenario.episodes]
    if others := len(tried) - len(judged(tried, rule)):
        verb = "has" if others == 1 else "have"
        click.echo(
            f"{counted(others, 'cell')} without shots of {len(tried)} {verb} no part in its scores: those of "
            f"rule '{rule}' are no shares, as those on held-out shots are; --shots 0 tunes by them alone"
        )


def _changed(plan: RunPlan, method: str) -> RunPlan:
    """Plan with what has changed since it was made, which is printed.

    Raises:
        UserError: nothing has that this process could load anew.
    """
    now = replace(plan)
    others = plan.digests[method].differences(now.digests[method], plan.card.kind.items)
    if not others:
        raise UserError("the code has changed since this command began: run it again")
    what = " and ".join("code" if other == "method" else other for other in others)
    verb = "has" if what in ("code", "card") else "have"
    click.echo(f"the {what} of '{method}' {verb} changed: its trials begin anew")
    return now


def _question(plan: RunPlan, method: str, rule: str) -> str:
    """Digest of what scores depend on beside the values that are tried: cells, rule, code and data."""
    cells = [cell.key for cell in judged([cell for cell in plan.cells if cell.method == method], rule)]
    digests = plan.digests[method].model_dump(mode="json")
    return content_hash({"cells": cells, "rule": rule, "digests": digests})


def next_trial(study: optuna.Study) -> optuna.Trial:
    """Next trial of a study: one that was interrupted before a new one."""
    begun = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    return optuna.Trial(study, begun[0]._trial_id) if begun else study.ask()


def suggested(trial: optuna.Trial, space: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Values of a trial, which it keeps if it has been interrupted.

    What is drawn depends on the trials that are done, the trial's number and the hyperparameter's name: it is
    the same wherever the study was interrupted.
    """
    values = {}
    for name, spec in space.items():
        trial.study.sampler = TPESampler(seed=stream(trial.number, "tune", name) % 2**32)
        values[name] = _rounded(trial.suggest_float(name, spec["low"], spec["high"], log=spec["log"]))
    return values


def _rounded(value: float) -> float:
    """Round to the digits that are printed, so that a value copied from the terminal is the one tried."""
    return float(f"{value:.4g}")


def trial_scores(plan: RunPlan, method: str, values: Mapping[str, Value], rule: str) -> dict[int, float]:
    """Allowed scores of a plan's cells under some hyperparameters, by place; none when any of them fails.

    One is minus infinity where a model has collapsed, which is worse than any that has not.

    Raises:
        Changed: the trial is of other code or data than the plan.
    """
    suite = plan.suite
    trial = replace(plan, controls={}).with_suite(
        suite.model_copy(
            update={
                "methods": [method],
                "set": {method: explicit(method, {**values, **suite.set.get(method, {})}, suite.recipe)},
                "budget": suite.budget.model_copy(update={"trials": 0}),
            }
        )
    )
    cells = with_folds(judged(trial.cells, rule))
    # Test accuracy of trials is not shown: it must not have a part in tuning.
    allowed = partial(allowed_score, rule=rule)

    def words(record: Record) -> str:
        score = allowed(record)
        in_shares = in_percent([record.request.cell], rule)
        return percent(score) if in_shares or score is None else f"{score:.4g}"

    records = [record for record in outcomes(trial, cells, words) if record]
    if len(records) < len(cells):
        raise UserError(
            f"{len(cells) - len(records)} of a trial's records cannot be read from '{trial.store.root}' any "
            "more: the same command runs them again"
        )
    begun = plan.digests[method]
    now = trial.digests[method].model_copy(update={"method": method_digest(method)})
    if begun.outdated(now) or any(record.digests.outdated(begun) for record in records):
        raise Changed
    if any(record.outcome.status == "failed" for record in records):
        return {}
    scores = {place: score for place, record in enumerate(records) if (score := allowed(record)) is not None}
    if not scores:
        said = next((record.outcome.reason for record in records), "none is tried, since all are episodes")
        reason = said or f"rule '{rule}' has no score for them"
        raise Untried(f"{method} can do none of the suite's cells: {reason}")
    return scores


def with_folds(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of a trial: those with shots once per fold that is held out, and no episodes."""
    return [
        cell.model_copy(update={"fold": fold}) if fold is not None else cell
        for cell in cells
        if not cell.scenario.episodes
        for fold in (range(FOLDS) if cell.scenario.shots != 0 else [None])
    ]


def allowed_score(record: Record, rule: str = TUNES_BY) -> float | None:
    """Score of the last evaluation, of which no target label knows but the shots'; None if there is none.

    It is the accuracy on held-out shots; without shots, what a rule of `LABEL_FREE` says.
    """
    if not record.evaluations:
        return None
    scenario = record.request.cell.scenario
    if not KINDS[scenario.kind].shows_target:
        rule = SOURCE_VAL
    if scenario.shots == 0:
        return label_free_scores(record.evaluations, rule)[-1]
    return record.evaluations[-1].score("shots-validation")


def _study(store: Store, name: str, question: str) -> optuna.Study:
    """Open a study; trials that were scored on other cells, code or data are of others."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = Path(store.root) / "studies.journal"
    # Absolute: optuna's lock is a link to the path, and one that leads nowhere is waited for without end.
    path = str(journal.absolute())
    try:
        storage = JournalStorage(SealedJournal(path, JournalLock(path)))
        study_name = f"{name} {question}"
        known = [study.study_name for study in storage.get_all_studies()]
        if study_name not in known and any(_is_of(other, name) for other in known):
            click.echo(f"study {name}: earlier trials are of other cells, code, data, weights or libraries")
        return optuna.create_study(
            study_name=study_name, storage=storage, direction="maximize", load_if_exists=True
        )
    except OSError as error:
        raise UserError(f"cannot write to '{journal}': {error.strerror or error}") from None
    except Exception as error:
        # Whatever a damaged line makes of optuna's reader.
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"'{journal}' is not a journal of studies ({type(error).__name__}: {reason[:80]}): move it away; "
            "trials that are recorded are not run again"
        ) from None


def _is_of(study_name: str, name: str) -> bool:
    """Return True if a study has this name, with or without a question."""
    return study_name == name or study_name.rpartition(" ")[0] == name


class SealedJournal(JournalFileBackend):
    """Journal whose lines hold checksums, so that damage is no other score; older lines hold none."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines; raises `OSError`."""
        super().append_logs([{**log, SEAL: _checksum(log)} for log in logs])

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read lines from a number on; raises `ValueError` where one was changed."""
        for log in super().read_logs(log_number_from):
            checksum = log.pop(SEAL, None)
            if checksum not in (None, _checksum(log)):
                raise ValueError("a checksum differs")
            yield log


def _checksum(log: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(log, sort_keys=True).encode())


class JournalLock(JournalFileSymlinkLock):
    """Lock of a journal. Half a line of a process that was killed is cut off before anything is appended."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._journal = Path(path)

    def acquire(self) -> bool:
        """Wait for the lock; raises `OSError`."""
        held = super().acquire()
        try:
            with self._journal.open("r+b") as file:
                content = file.read()
                if not content.endswith(b"\n"):
                    file.truncate(content.rfind(b"\n") + 1)
        except BaseException:
            self.release()
            raise
        return held

    def release(self) -> None:
        """Release the lock; raises `OSError` where the disk fails, `RuntimeError` where it is not held."""
        try:
            super().release()
        except RuntimeError as error:
            cause = error.__context__
            if isinstance(cause, OSError) and cause.errno != errno.ENOENT:
                raise cause from None
            raise


def _inside(spec: dict[str, float]) -> bool:
    """Return True if a default lies in its range; 0 that means "choose automatically" does not."""
    return spec["low"] <= spec["default"] <= spec["high"]


def _conclude(found: Tuned, method: str) -> int:
    """Print the best trials and how to use the best one."""
    study = found.study
    complete = _complete(study)
    if not complete:
        click.echo(f"{method}: every trial failed", err=True)
        return 1
    ranked = sorted(complete, key=lambda trial: -_value(trial))
    table = Table(title=f"{method}: best of {counted(len(complete), 'trial')}", title_justify="left")
    space = list(ranked[0].params)
    for column in ("trial", found.heading, *space):
        table.add_column(column, justify="right")
    for trial in ranked[:5]:
        values = [f"{trial.params.get(name, float('nan')):.4g}" for name in space]
        table.add_row(str(trial.number), found.shown(trial), *values)
    Console().print(table)
    click.echo(f"[set.{method}]")
    for name, value in ranked[0].params.items():
        click.echo(f"{name} = {json.dumps(float(f'{value:.4g}'))}")
    return 0
