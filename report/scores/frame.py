"""Frame of records, a row per cell, with scores that are derived from the stored predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from bench.core.text import printable, visible
from bench.data.card import packaged
from bench.processes.garbage import paused_gc
from bench.records.convergence import converged
from bench.records.record import Record
from bench.records.selection import HEADLINE, RULES
from bench.records.store import Store
from bench.report.scores.bootstrap import intervals
from bench.report.scores.features import StoredFeatures
from bench.report.scores.open_set import OpenScores, open_scores
from bench.report.scores.parts import PartAccuracies, bytes_found, part_accuracies
from bench.report.scores.predictions import Unusable, scored_predictions, stored_predictions, stream_order
from bench.report.scores.protocol import Part, of_classes, protocol, set_apart
from bench.report.scores.retrieval import recall
from bench.report.scores.spending import spending
from bench.report.scores.supervision import Supervision
from bench.report.scores.words import Words
from bench.spec.cell import Cell, Value, compiled, content_hash
from bench.spec.matrix.suite import Suite
from bench.spec.scenarios import KINDS

STATUSES = ("done", "skipped", "failed", "unreadable", "missing")

CELL = (
    *("kind", "dataset", "source", "target", "pair", "classes", "shots", "supervision"),
    *("method", "overrides", "control_of", "backbone"),
    *(
        "modality",
        "metric",
        "image_size",
        "augment",
        "steps",
        "target_steps",
        "batch_size",
        "evaluations_per_stage",
        "trials",
        "longest",
        "seed",
        "precision",
    ),
    *("transductive", "unsplit", "headline", "recipe", "question", "goal", "protocol"),
)
"""Columns that the cell decides; empty only where a damaged record leaves the question unknown."""

PARTS = ("average", "worst", "forgetting", "backward_transfer", "forward_transfer")
"""Columns of targets in parts, by the properties of `PartAccuracies`."""

OPEN = OpenScores._fields
"""Columns of targets with unknown classes, under the headline rule."""

ANSWER = (
    *("reason", "log", "note", "suite", "device", "threads", "created", "again"),
    *("control", "control_key"),
    *(
        "adapts",
        "architecture",
        "features",
        "predictions",
        "evaluations",
        "converged",
        "spending",
        "discrepancy_before",
        "class_names",
        "streams",
        "low",
        "high",
        *(f"accuracy {name}" for name in (HEADLINE, *(rule.name for rule in RULES))),
        *("stream", "parts", *PARTS, *OPEN, "recall_5", "bytes_kept", "bytes_sent"),
    ),
    *("data_origin", "warnings"),
    *("seconds_own", "seconds_alone", "seconds_waited", "items_seen", "items_per_second"),
    *("parameters", "parameters_trained", "peak_memory_mib"),
    *("setting", "step_p50", "step_p95", "predictions_per_second", "flops_per_step", "energy_joules"),
    *("python", "packages", "platform", "cpu", "accelerator", "git_revision"),
    *("digest_method", "digest_engine", "digest_dataset", "digest_card", "digest_weights"),
)
"""Columns that the record decides."""

COLUMNS = ("key", "status", *CELL, *ANSWER)

CHAIN = "chain"
"""Column, until a frame is whole, that runs of one cell which is to converge have in common."""

OBJECTS = (
    *("supervision", "protocol", "features", "predictions", "evaluations"),
    *("discrepancy_before", "class_names", "streams", "spending", "parts", "stream"),
)
"""Columns of objects (`Supervision`, `ScoredPredictions`, tuples, dicts), to be dropped from exports."""


def accuracy_column(rule: str = HEADLINE) -> str:
    """Column with the test accuracy in percent of the evaluation that `rule` selects.

    `HEADLINE` is the rule that the cell's suite names, which is in the column `headline`.
    """
    return f"accuracy {rule}"


ASKED = "asked"
"""Attribute of a frame (`attrs`) with the number of cells that were expected; absent where none were."""


def load_frame(
    store: Store, expected: Sequence[Cell] = (), per_image: bool = True, others: bool = False
) -> pd.DataFrame:
    """Load a store as one row per cell, columns `COLUMNS`; nothing in a results folder makes it raise.

    Without `per_image` there are no confidences (see `bench.report.scores.predictions.score`).

    With `expected`, exactly these cells, `missing` where there is no record; with `others` the store's other
    records behind them, whose supervision names what these cells do otherwise. Without, every record of the
    store. A record or predictions that cannot be read are rows of status `unreadable`, with the reason. `low`
    and `high` bound the headline accuracy (see `scores.bootstrap`). `question` identifies a cell's question
    apart from its method and seed, `goal` also apart from its source. `control_of` names the methods that a
    cell was run for as their control alone (see `methods_only`), `control` and `control_key` a cell's own
    control.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, CHAIN)}
    keys = [cell.key for cell in expected]
    if others or not expected:
        known = set(keys)
        keys += filter(lambda key: key not in known, store.keys())
    with paused_gc():
        _read(columns, store, keys, per_image)
        _fill_in(columns, expected)
        if others or not expected:
            _add(columns, _unreadable(store, set(keys)))
        if others:
            _set_apart(columns, expected)
        frame = _whole(columns, len(expected))
    if expected:
        frame.attrs[ASKED] = len(expected)
    return frame


def load_together(
    parts: Iterable[tuple[Store, Sequence[str]]], asked: Sequence[Cell] = (), per_image: bool = True
) -> pd.DataFrame:
    """Load records of several stores, each by their keys, as if they were of one; see `load_frame`.

    So variants of a method, budgets and controls are told apart whichever stores they are of, and records of
    another protocol than the cells that a suite asks for; without these, all protocols.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, CHAIN)}
    with paused_gc():
        for store, keys in parts:
            _read(columns, store, keys, per_image)
        _set_apart(columns, asked)
        return _whole(columns, 0)


def _read(columns: dict[str, list[Any]], store: Store, keys: Sequence[str], per_image: bool) -> None:
    """Append what a store's records say."""
    for part in store.map_chunks(keys, partial(_columns, per_image=per_image)):
        for name, values in part.items():
            columns[name] += values


def _whole(columns: Mapping[str, list[Any]], expected: int) -> pd.DataFrame:
    """Frame of these columns, whose rows are told apart by what else there is."""
    frame = pd.DataFrame(columns).astype(dict.fromkeys(OBJECTS, object))
    # What was deleted since the keys were listed.
    gone = (frame["status"] == "missing") & (frame.index >= expected)
    frame = frame[~gone].reset_index(drop=True)
    frame = _longest_runs(frame, expected)
    frame["control_key"] = _control_keys(frame)
    frame["method"] = _labels(frame)
    _tell_budgets_apart(frame)
    _tell_classes_apart(frame)
    return frame.drop(columns=CHAIN)


def methods_only(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a frame but those of controls, which are compared with their methods and ranked nowhere."""
    return frame[~_is_control(frame)]


def _is_control(frame: pd.DataFrame) -> pd.Series:
    return frame["control_of"].notna() & (frame["control_of"] != "")


def rerun_command(record: Record) -> str:
    """Command that runs a record's cell again, given the folder that holds the record.

    Where one's own images are is no part of a record, which may be handed on: FOLDER stands for it, and
    `digests.dataset` says whether it is the right one.
    """
    own = "" if packaged(record.request.cell.scenario.dataset) else " --data FOLDER"
    return f"python -m bench run --cell {record.key}{own}"


def _columns(store: Store, keys: Sequence[str], per_image: bool) -> dict[str, list[Any]]:
    """Values by column of the records of these keys, in order, `missing` where there is none.

    By column, since a dictionary of seventy values for each of many rows is most of the memory.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, CHAIN)}
    _add(columns, (_row_of_key(store, key, per_image) for key in keys))
    # `low` and `high`, where there are predictions.
    places = [place for place, status in enumerate(columns["status"]) if status == "done"]
    bounds = intervals([columns["predictions"][place] for place in places], HEADLINE)
    for place, interval in zip(places, bounds, strict=True):
        columns["low"][place], columns["high"][place] = interval or (None, None)
    return columns


def _add(columns: dict[str, list[Any]], rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        for name, values in columns.items():
            values.append(visible(row.get(name, np.nan)))


def _row_of_key(store: Store, key: str, per_image: bool) -> dict[str, Any]:
    record = store.read(key)
    if record is not None:
        return _row(store, record, per_image)
    reason = store.unreadable.get(store.path(key))
    if reason is None:
        return {"key": key, "status": "missing", "reason": "not run yet"}
    return {"key": key, "status": "unreadable", "reason": plain(store, reason)}


def _fill_in(columns: dict[str, list[Any]], cells: Sequence[Cell]) -> None:
    """Fill in what each cell is run for, and cells whose records are not there or do not tell them."""
    for place, cell in enumerate(cells):
        columns["control_of"][place] = visible(", ".join(cell.control_of))
        if not isinstance(columns["goal"][place], str):
            for name, value in _cell(cell).items():
                columns[name][place] = visible(value)


def _set_apart(columns: dict[str, list[Any]], asked: Sequence[Cell]) -> None:
    """Keep records of another protocol than the cells' that a suite asks for out of the tables of those."""
    usual: dict[str, set[Part]] = defaultdict(set)
    for cell in asked:
        usual[cell.scenario.kind].update(protocol(cell))
    set_apart(columns["kind"], columns["protocol"], columns["supervision"], usual)
    columns["shots"] = [
        each.label if isinstance(each, Supervision) else shots
        for each, shots in zip(columns["supervision"], columns["shots"], strict=True)
    ]


def _unreadable(store: Store, keys: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of what cannot be read beside the records of these keys: folders, archives."""
    for path, reason in sorted(store.unreadable.items()):
        if path.stem not in keys:
            yield {"key": path.stem, "status": "unreadable", "reason": plain(store, reason)}


def _row(store: Store, record: Record, per_image: bool) -> dict[str, Any]:
    """Values of one record by column."""
    cost, environment, setting = record.cost, record.environment, record.request.setting
    memory = cost.peak_memory_bytes
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
        "converged": converged(record.evaluations) if record.evaluations else None,
        "spending": spending(record),
        "discrepancy_before": record.discrepancy_before,
        **_control(record),
        "adapts": record.adapts,
        "architecture": _architecture(record),
        "seconds_own": cost.own_seconds if cost.seconds or cost.stages else None,
        "seconds_alone": cost.alone_seconds if cost.seconds or cost.stages else None,
        "seconds_waited": cost.waited_seconds,
        "items_seen": cost.items_seen or None,
        "streams": cost.streams,
        "items_per_second": cost.items_per_second,
        "parameters": cost.parameters,
        "parameters_trained": cost.parameters_trained,
        "peak_memory_mib": None if memory is None else memory / 2**20,
        "setting": _setting(record),
        "step_p50": cost.steps.p50 if cost.steps else None,
        "step_p95": cost.steps.p95 if cost.steps else None,
        "predictions_per_second": cost.predictions_per_second,
        "flops_per_step": cost.flops_per_step,
        "energy_joules": cost.energy_joules,
        "data_origin": record.data_origin,
        "warnings": "\n".join(record.warnings),
        **dict(environment),
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items())),
        **{f"digest_{name}": value for name, value in record.digests if name not in ("weights", "libraries")},
        "digest_weights": ", ".join(digest for _, digest in record.digests.weights) or None,
        **_cell(record.request.cell),
    }
    if record.episodes:
        # Each of them is a target stage of its own.
        row["target_steps"] *= record.episodes
    for name, total in (("bytes_kept", max), ("bytes_sent", sum)):
        if found := bytes_found(record, name):
            row[name] = total(found)
    if record.outcome.status == "done":
        row.update(_scores(store, record, per_image))
    return row


def _control(record: Record) -> dict[str, Any]:
    """Control of a record's cell, in words, and its key where it is of the same method."""
    cell, control = record.request.cell, record.control
    if control is None or isinstance(control, str):
        return {"control": control}
    other = cell.model_copy(update={"overrides": {**cell.overrides, **control}})
    if other.key == record.key:
        return {}
    return {"control": _words(control), "control_key": _chain(other)}


def _words(overrides: Mapping[str, Value]) -> str:
    """Hyperparameters, as `steps=0, weight=0.5`."""
    return ", ".join(f"{name}={value}" for name, value in sorted(overrides.items()))


def _setting(record: Record) -> str:
    """Setting that a cell was computed in, as `cpu, 2 threads, channels last, bf16`."""
    setting, words = record.request.setting, []
    words += [setting.device, f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"]
    words += ["channels last" if setting.channels_last else "channels first"]
    words += [f"{record.cost.devices} devices"] if record.cost.devices > 1 else []
    words += [compiled(setting.compile), record.request.cell.precision]
    return ", ".join(filter(None, words))


def _architecture(record: Record) -> str | None:
    """Architecture of the last stage that searched, as `head mlp, tap both`; None: none did."""
    for findings in reversed(record.details.values()):
        parts = findings.get("architecture")
        if isinstance(parts, dict):
            return ", ".join(f"{name} {value}" for name, value in sorted(parts.items()))
    return None


def _scores(store: Store, record: Record, per_image: bool) -> dict[str, Any]:
    """Scores of the stored predictions; status `unreadable` where they cannot be scored."""
    try:
        predictions = stored_predictions(store, record)
        scored = scored_predictions(record, predictions, per_image)
        parts, order = part_accuracies(record, predictions), stream_order(predictions)
    except Unusable as error:
        return {"status": "unreadable", "reason": plain(store, str(error))}
    names = (HEADLINE, *(rule.name for rule in RULES))
    scores: dict[str, Any] = {accuracy_column(name): scored.accuracy(name) for name in names}
    lost = scored.undecided
    items = Words.of_cell(record.request.cell).items
    note = f"{lost} test {items} have no finite largest logit and count as wrong" if lost else ""
    features = StoredFeatures.of(store, record, predictions)
    known: dict[str, Any] = {"features": features, "predictions": scored, "note": note}
    if (scenario := record.request.cell.scenario).unknown:
        known |= open_scores(scored, len(scenario.target_classes), HEADLINE)._asdict()
    if KINDS[scenario.kind].names_classes:
        known["recall_5"] = recall(record, predictions)
    return known | scores | _parts(parts) | ({} if order is None else {"stream": order})


def _parts(parts: PartAccuracies | None) -> dict[str, Any]:
    """What is known of a target in parts, by column."""
    return {"parts": parts, **{name: getattr(parts, name) for name in PARTS}} if parts else {}


def _cell(cell: Cell) -> dict[str, Any]:
    """Values of a cell by column."""
    return {
        **_question(*(getattr(cell, name) for name in QUESTION)),
        CHAIN: _chain(cell),
        "method": cell.method,
        "overrides": _words(cell.overrides),
        "control_of": ", ".join(cell.control_of),
        "seed": cell.seed,
    }


def _chain(cell: Cell) -> str:
    """Key of a cell, if it is to converge with the most steps that it may have."""
    longest = cell.budget.longest
    return (
        cell.model_copy(update={"budget": cell.budget.model_copy(update={"steps": longest})}).key
        if longest
        else cell.key
    )


OWN = {"method", "overrides", "control_of", "seed"}
QUESTION = tuple(name for name in Cell.model_fields if name not in OWN)
"""Fields of a cell that all methods and seeds share."""


@lru_cache(maxsize=2**14)
def _question(*values: Any) -> dict[str, Any]:
    """Values by column of a question, from those of `QUESTION`; cached, since hashing them takes long."""
    cell = Cell.model_construct(**dict(zip(QUESTION, values, strict=True)))
    scenario, budget, supervision = cell.scenario, cell.budget, Supervision.of(cell)
    question = cell.model_dump(mode="json", exclude=OWN)
    if budget.longest:
        # However long it took to converge.
        del question["budget"]["steps"]
    source = ("kind", "source", "source_classes")
    goal = question | {"scenario": {k: v for k, v in question["scenario"].items() if k not in source}}
    return {
        "kind": scenario.kind,
        "dataset": scenario.dataset,
        "source": scenario.source_name,
        "target": scenario.target,
        "pair": scenario.pair,
        "classes": len(scenario.target_classes),
        "class_names": tuple(printable(name) for name in scenario.target_names),
        "shots": supervision.label,
        "supervision": supervision,
        "backbone": cell.backbone,
        "modality": cell.modality,
        "metric": cell.metric,
        "image_size": cell.image_size,
        "augment": cell.augment,
        "steps": budget.steps,
        "target_steps": _target_steps(cell),
        "batch_size": budget.batch_size,
        "evaluations_per_stage": budget.evaluations,
        "trials": budget.trials,
        "longest": budget.longest,
        "precision": cell.precision,
        "transductive": cell.transductive,
        "unsplit": cell.unsplit,
        "headline": cell.headline,
        "recipe": cell.recipe.label,
        "question": content_hash(question),
        "goal": content_hash(goal),
        "protocol": protocol(cell),
    }


def _target_steps(cell: Cell) -> int:
    """Steps of the target stage: of an episode, of all rounds, or of the budget."""
    scenario = cell.scenario
    if scenario.federation:
        return scenario.federation.steps
    return scenario.episodes.steps if scenario.episodes else cell.budget.target_steps


def _control_keys(frame: pd.DataFrame) -> list[str | float]:
    """Keys of the rows' controls, of which each may have converged after other steps than the row.

    That of another method is of the same question and seed.

    Where the frame has several variants of that method it is the one of defaults, or cannot be said.
    """
    names = frame["control"][frame["control_key"].isna()].dropna().unique()
    others = frame[frame["method"].isin(names)]
    found: dict[tuple[str, str, float], dict[str, str]] = {}
    for *where, overrides, key in zip(
        *(others[name] for name in ("method", "question", "seed", "overrides", "key")), strict=True
    ):
        found.setdefault(tuple(where), {})[overrides] = key
    chosen = {
        where: variants.get("", next(iter(variants.values())) if len(variants) == 1 else np.nan)
        for where, variants in found.items()
    }
    columns = (frame[name] for name in ("control", "question", "seed", "control_key"))
    ends = dict(zip(frame[CHAIN], frame["key"], strict=True))
    return [
        chosen.get((control, *where), ends.get(chain, chain))
        for control, *where, chain in zip(*columns, strict=True)
    ]


def _labels(frame: pd.DataFrame) -> list[str | None]:
    """Method names, with their hyperparameters where the folder holds a method in several variants.

    Those of controls have them anyway, and do not count as variants of a method.
    """
    variants = methods_only(frame).groupby("method")["overrides"].nunique()
    return [
        f"{method} ({overrides})" if overrides and (control or variants.get(method, 0) > 1) else method
        for method, overrides, control in zip(
            frame["method"], frame["overrides"], _is_control(frame), strict=True
        )
    ]


def _longest_runs(frame: pd.DataFrame, expected: int) -> pd.DataFrame:
    """Leave out other runs of cells that are to converge than those that their chains end with.

    A chain begins with the run that is expected, or else has fewest steps, and goes on as a run does (see
    `bench.records.convergence`): what other code was given more steps for, this may have converged before.
    """
    chained = frame["longest"].fillna(0) > 0
    if not chained.any():
        return frame
    order = frame[chained].assign(gone=frame["status"] == "missing", more=frame.index >= expected)
    order = order.sort_values(["gone", "more", "steps"], kind="stable")
    goes_on = frame["status"].eq("done") & frame["converged"].eq(False)
    kept = []
    for _, runs in order.groupby(["method", "overrides", "question", "seed"]):
        there = runs[~runs["gone"]]
        longer = dict(zip(there["steps"], there.index, strict=True))
        place = runs.index[0]
        while goes_on[place] and 2 * frame["steps"][place] in longer:
            place = longer[2 * frame["steps"][place]]
        kept.append(place)
    return frame[~chained | frame.index.isin(kept)].reset_index(drop=True)


def _tell_budgets_apart(frame: pd.DataFrame) -> None:
    """Name the steps in the supervision of each row, where there are several: no table mixes budgets.

    Those that are set apart have their steps among their protocol.
    """
    fixed = frame["longest"].eq(0) & ~_is_apart(frame)
    steps = frame.loc[fixed, "steps"]
    if steps.nunique() < 2:
        return
    supervisions = frame.loc[fixed, "supervision"]
    named = [replace(each, steps=int(count)) for each, count in zip(supervisions, steps, strict=True)]
    frame.loc[fixed, "supervision"] = pd.Series(named, steps.index, dtype=object)
    frame.loc[fixed, "shots"] = [each.label for each in named]


def _is_apart(rows: pd.DataFrame) -> pd.Series:
    return rows["supervision"].map(lambda each: bool(getattr(each, "protocol", ""))).astype(bool)


def _tell_classes_apart(frame: pd.DataFrame) -> None:
    """Name the classes in the supervision of rows of fewer than others of their kind, on the same dataset.

    So where a suite asks of one target both all classes and those that the task kinds keep for it.
    """
    known = frame.loc[frame["kind"].notna(), ["kind", "dataset", "shots", "class_names", "supervision"]]
    for _, rows in known.groupby(["kind", "dataset", "shots"]):
        sets = {names: len(names) for names in rows["class_names"]}
        if len(sets) < 2:
            continue
        most = max(sets, key=lambda names: sets[names])
        # What is set apart says so already.
        fewer = rows[~rows["class_names"].map(most.__eq__).astype(bool) & ~_is_apart(rows)]
        named = [
            replace(each, protocol=of_classes(names, sets))
            for names, each in zip(fewer["class_names"], fewer["supervision"], strict=True)
        ]
        frame.loc[fewer.index, "supervision"] = pd.Series(named, fewer.index, dtype=object)
        frame.loc[fewer.index, "shots"] = [each.label for each in named]


def plain(store: Store, reason: str) -> str:
    """Reason without the folder's own path, so that a page can be handed on."""
    return reason.replace(f"{store.root}/", "")


BASELINE = str(Suite.model_fields["baseline"].default)
"""Method that gains are over where a suite names none."""
