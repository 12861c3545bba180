"""Records to one tidy frame: a row per cell. Scores are derived here, from the stored predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from bench.core.text import printable
from bench.data.card import packaged
from bench.processes.garbage import paused_gc
from bench.records.record import Record
from bench.records.selection import HEADLINE, RULES
from bench.records.store import Store
from bench.report.scores.bootstrap import intervals
from bench.report.scores.features import Kept
from bench.report.scores.predictions import Unusable, stored_hits, stored_predictions
from bench.spec.cell import Cell, compiled, content_hash
from bench.spec.matrix.suite import Suite

STATUSES = ("done", "skipped", "failed", "unreadable", "missing")

CELL = (
    *("kind", "dataset", "source", "target", "pair", "classes", "shots", "method", "overrides", "backbone"),
    *(
        "image_size",
        "augment",
        "steps",
        "target_steps",
        "batch_size",
        "looks_asked",
        "trials",
        "seed",
        "precision",
    ),
    *("transductive", "headline", "question", "goal"),
)
"""Columns that the question decides; empty only where a damaged record leaves the question unknown."""

ANSWER = (
    *("reason", "log", "note", "suite", "device", "threads", "created", "again"),
    *(
        "adapts",
        "architecture",
        "features",
        "hits",
        "evaluations",
        "discrepancy_before",
        "class_names",
        "streams",
        "low",
        "high",
        *(f"accuracy {name}" for name in (HEADLINE, *(rule.name for rule in RULES))),
    ),
    *("data_origin", "warnings"),
    *("seconds_own", "seconds_alone", "items_seen", "items_per_second"),
    *("parameters", "parameters_trained", "peak_memory_mib"),
    *("setting", "step_p50", "step_p95", "predictions_per_second", "flops_per_step", "energy_joules"),
    *("python", "packages", "platform", "cpu", "accelerator", "git_revision"),
    *("digest_method", "digest_engine", "digest_dataset"),
)
"""Columns that the record decides."""

COLUMNS = ("key", "status", *CELL, *ANSWER)

OBJECTS = ("features", "hits", "evaluations", "discrepancy_before", "class_names", "streams")
"""Columns that hold objects (`Kept`, `Hits`, tuples, dicts), to be dropped from exports."""


def accuracy_column(rule: str = HEADLINE) -> str:
    """Column with the test accuracy in percent of the look that `rule` selects.

    `HEADLINE` is the rule that the cell's suite names, which is in the column `headline`.
    """
    return f"accuracy {rule}"


def load_frame(store: Store, expected: Sequence[Cell] = (), judge: bool = True) -> pd.DataFrame:
    """One row per cell, columns `COLUMNS`; nothing in a results folder makes it raise.

    Without `judge` the hits have no judgements (see `bench.report.scores.predictions.score`).

    With `expected`, exactly these cells, `missing` where there is no record. Otherwise every record
    of the store. A record or predictions that cannot be read are rows of status `unreadable`, with the
    reason. `low` and `high` bound the headline accuracy (see `scores.bootstrap`). `question` identifies
    a cell's question apart from its method and seed, `goal` also apart from its source.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    keys = [cell.key for cell in expected] if expected else store.keys()
    with paused_gc():
        for part in store.map_chunks(keys, partial(_columns, judge=judge)):
            for name, values in part.items():
                columns[name] += values
        if expected:
            _ask(columns, expected)
        else:
            _add(columns, _elsewhere(store, set(keys)))
        frame = pd.DataFrame(columns).astype(dict.fromkeys(OBJECTS, object))
    if not expected:
        # What was deleted since the keys were listed.
        frame = frame[frame["status"] != "missing"].reset_index(drop=True)
    frame["method"] = _labels(frame)
    return frame


def rerun_command(record: Record) -> str:
    """Command that runs a record's cell again, given the folder that holds the record.

    Where one's own images are is no part of a record, which may be handed on: FOLDER stands for it, and
    `digests.dataset` says whether it is the right one.
    """
    own = "" if packaged(record.request.cell.scenario.dataset) else " --data FOLDER"
    return f"python -m bench run --cell {record.key}{own}"


def _columns(store: Store, keys: Sequence[str], judge: bool) -> dict[str, list[Any]]:
    """Values by column of the records of these keys, in order, `missing` where there is none.

    By column, since a dictionary of seventy values for each of many rows is most of the memory.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    _add(columns, (_found(store, key, judge) for key in keys))
    # `low` and `high`, where there are hits.
    places = [place for place, status in enumerate(columns["status"]) if status == "done"]
    bounds = intervals([columns["hits"][place] for place in places], HEADLINE)
    for place, interval in zip(places, bounds, strict=True):
        columns["low"][place], columns["high"][place] = interval or (None, None)
    return columns


def _add(columns: dict[str, list[Any]], rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        for name, values in columns.items():
            values.append(row.get(name, np.nan))


def _found(store: Store, key: str, judge: bool) -> dict[str, Any]:
    record = store.read(key)
    if record is not None:
        return _row(store, record, judge)
    reason = store.unreadable.get(store.path(key))
    if reason is None:
        return {"key": key, "status": "missing", "reason": "not run yet"}
    return {"key": key, "status": "unreadable", "reason": plain(store, reason)}


def _ask(columns: dict[str, list[Any]], cells: Sequence[Cell]) -> None:
    """Fill in the questions of records that are not there or do not tell them."""
    for place, cell in enumerate(cells):
        if not isinstance(columns["goal"][place], str):
            for name, value in _cell(cell).items():
                columns[name][place] = value


def _elsewhere(store: Store, keys: set[str]) -> Iterator[dict[str, Any]]:
    """What cannot be read beside the records of these keys: folders, archives."""
    for path, reason in sorted(store.unreadable.items()):
        if path.stem not in keys:
            yield {"key": path.stem, "status": "unreadable", "reason": plain(store, reason)}


def _row(store: Store, record: Record, judge: bool) -> dict[str, Any]:
    """All that is known of one record."""
    measured, where, setting = record.cost, record.environment, record.request.setting
    memory = measured.peak_memory_bytes
    row: dict[str, Any] = {
        "key": record.key,
        "status": record.outcome.status,
        "reason": record.outcome.reason,
        "log": record.outcome.log,
        "suite": record.request.suite,
        "device": setting.device,
        "threads": setting.threads,
        "created": record.created,
        "again": rerun_command(record),
        "evaluations": record.evaluations,
        "discrepancy_before": record.discrepancy_before,
        "adapts": record.adapts,
        "architecture": _architecture(record),
        "seconds_own": measured.own_seconds if measured.seconds else None,
        "seconds_alone": measured.alone_seconds if measured.seconds else None,
        "items_seen": measured.items_seen,
        "streams": measured.streams,
        "items_per_second": measured.items_per_second,
        "parameters": measured.parameters,
        "parameters_trained": measured.parameters_trained,
        "peak_memory_mib": None if memory is None else memory / 2**20,
        "setting": _setting(record),
        "step_p50": measured.steps.p50 if measured.steps else None,
        "step_p95": measured.steps.p95 if measured.steps else None,
        "predictions_per_second": measured.predictions_per_second,
        "flops_per_step": measured.flops_per_step,
        "energy_joules": measured.energy_joules,
        "data_origin": record.data_origin,
        "warnings": "\n".join(record.warnings),
        **dict(where),
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(where.packages.items())),
        **{f"digest_{name}": value for name, value in record.digests},
        **_cell(record.request.cell),
    }
    if record.episodes:
        # Each of them is a target stage of its own.
        row["target_steps"] *= record.episodes
    if record.outcome.status == "done":
        row.update(_scores(store, record, judge))
    return row


def _setting(record: Record) -> str:
    """How a cell was computed, as `cpu, 2 threads, channels last, bf16`."""
    setting, words = record.request.setting, []
    words += [setting.device, f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"]
    words += ["channels last" if setting.channels_last else "channels first"]
    words += [f"{record.cost.devices} devices"] if record.cost.devices > 1 else []
    words += [compiled(setting.compile), record.request.cell.precision]
    return ", ".join(filter(None, words))


def _architecture(record: Record) -> str | None:
    """What a search found in the last stage that searched, as `head mlp, tap both`; None: nothing sought."""
    for found in reversed(record.details.values()):
        parts = found.get("architecture")
        if isinstance(parts, dict):
            return ", ".join(f"{name} {value}" for name, value in sorted(parts.items()))
    return None


def _scores(store: Store, record: Record, judge: bool) -> dict[str, Any]:
    """What the stored predictions say; status `unreadable` where they cannot say it."""
    try:
        predictions = stored_predictions(store, record)
        hits = stored_hits(record, predictions, judge)
    except Unusable as error:
        return {"status": "unreadable", "reason": plain(store, str(error))}
    names = (HEADLINE, *(rule.name for rule in RULES))
    scores: dict[str, Any] = {accuracy_column(name): hits.accuracy(name) for name in names}
    lost = hits.undecided
    note = f"{lost} test images have no finite largest logit and count as wrong" if lost else ""
    return {"features": Kept.of(store, record, predictions), "hits": hits, "note": note, **scores}


def _cell(cell: Cell) -> dict[str, Any]:
    """What the question says, and who answers it."""
    return {
        **_question(*(getattr(cell, name) for name in QUESTION)),
        "method": printable(cell.method),
        "overrides": ", ".join(f"{name}={value}" for name, value in sorted(cell.overrides.items())),
        "seed": cell.seed,
    }


OWN = {"method", "overrides", "seed"}
QUESTION = tuple(name for name in Cell.model_fields if name not in OWN)
"""Fields of a cell that all methods and seeds share."""


@lru_cache(maxsize=2**14)
def _question(*asked: Any) -> dict[str, Any]:
    """What the values of `QUESTION` say: the same for many cells, and hashing them takes long."""
    cell = Cell.model_construct(**dict(zip(QUESTION, asked, strict=True)))
    scenario, budget = cell.scenario, cell.budget
    question = cell.model_dump(mode="json", exclude=OWN)
    source = ("kind", "source", "source_classes")
    goal = question | {"scenario": {k: v for k, v in question["scenario"].items() if k not in source}}
    return {
        "kind": scenario.kind,
        "dataset": scenario.dataset,
        # Names of domains and classes come with data: tables, figures and terminals only show them.
        "source": scenario.source and printable(scenario.source),
        "target": printable(scenario.target),
        "pair": printable(scenario.pair),
        "classes": len(scenario.target_classes),
        "class_names": tuple(printable(name) for name in scenario.target_classes),
        "shots": supervision(cell),
        "backbone": cell.backbone,
        "image_size": cell.image_size,
        "augment": cell.augment,
        "steps": budget.steps,
        "target_steps": scenario.episodes.steps if scenario.episodes else budget.target_steps,
        "batch_size": budget.batch_size,
        "looks_asked": budget.evaluations,
        "trials": budget.trials,
        "precision": cell.precision,
        "transductive": cell.transductive,
        "headline": cell.headline,
        "question": content_hash(question),
        "goal": content_hash(goal),
    }


def _labels(frame: pd.DataFrame) -> list[str | None]:
    """Method names, with their hyperparameters where the folder holds a method in several variants."""
    variants = frame.groupby("method")["overrides"].nunique()
    return [
        f"{method} ({overrides})" if overrides and variants.get(method, 0) > 1 else method
        for method, overrides in zip(frame["method"], frame["overrides"], strict=True)
    ]


def plain(store: Store, reason: str) -> str:
    """A reason without the folder's own path, so that a page can be handed on."""
    return reason.replace(f"{store.root}/", "")


USUAL = str(Cell.model_fields["headline"].default)
"""The rule that results are under where nothing else is said."""

BASELINE = str(Suite.model_fields["baseline"].default)
"""The method that gains are over where a suite names none."""

CHOSEN = "chosen by "


def supervision(cell: Cell) -> str:
    """Labels of the target that the result rests on, as tables group by them.

    `5`, or `5, 5-way` where episodes are what is evaluated, or `0, chosen by oracle` where the suite chooses
    its looks by another rule than the usual one: so no table mixes those, and every table names them.
    """
    episodes = cell.scenario.episodes
    return ", ".join(
        [
            str(cell.scenario.shots),
            *([episodes.label] if episodes else []),
            *([f"{CHOSEN}{cell.headline}"] if cell.headline != USUAL else []),
        ]
    )


def shown_no_labels(shots: str) -> bool:
    """Whether methods saw no target labels, whatever the looks were chosen by."""
    return shots.partition(", ")[0] == "0"


def shots_order(shots: str) -> tuple[float, str]:
    """Sorting key for shots: numbers first, then `all`; episodes after all classes at the same shots."""
    number, _, episodes = shots.partition(", ")
    return np.inf if number == "all" else float(number), episodes
