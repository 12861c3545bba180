"""Migrations of older records: a function per earlier version of the schema.

To change the schema: raise `Record.schema_version`, and add a function here that turns the JSON of the
version before into the new one. Records are migrated when they are read; their files stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from bench.records.record import Record

Json = dict[str, Any]
"""JSON of a record, before it is validated."""

CURRENT: int = Record.model_fields["schema_version"].default


def _from_1(data: Json) -> Json:
    """Version 2 adds a checksum to the file and names predictions by content; the fields are the same."""
    return data


RENAMED_IN_3 = {
    "asked": "request",
    "happened": "outcome",
    "where": "environment",
    "measured": "cost",
    "images_from": "data_origin",
    "looks": "evaluations",
}
STAGE = "-stage"
"""Suffix of phases and details of stages in versions 1 and 2."""


def _from_2(data: Json) -> Json:
    """Version 3 has the field's words for names, and numbers by stage and by partition."""
    data = {RENAMED_IN_3.get(name, name): value for name, value in data.items()}
    # What is no record is told by the model that reads it next.
    with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError):
        request, cell, budget = (
            data["request"],
            data["request"]["cell"],
            dict(data["request"]["cell"]["budget"]),
        )
        budget["evaluations"] = budget.pop("looks")
        data["request"] = {**request, "cell": {**cell, "budget": budget}}
        data["cost"] = _cost_from_2(dict(data.get("cost", {})))
        data["evaluations"] = [_evaluation_from_2(dict(each)) for each in data.get("evaluations", [])]
        details = dict(data.get("details", {}))
        data["episodes"] = details.pop("episodes", None)
        data["details"] = {name.removesuffix(STAGE): value for name, value in details.items()}
    return data


def _cost_from_2(cost: Json) -> Json:
    own, shared = dict(cost.get("seconds", {})), dict(cost.get("shared_seconds", {}))
    items: dict[str, Json] = {}
    for stream, count in cost.pop("streams", {}).items():
        stage, name = stream.split("/")
        items.setdefault(stage, {})[name] = count
    trained = [phase.removesuffix(STAGE) for phase in (*own, *shared) if phase.endswith(STAGE)]
    cost["stages"] = {
        stage: {
            "seconds": own.pop(stage + STAGE, 0.0),
            "shared_seconds": shared.pop(stage + STAGE, 0.0),
            "items": items.get(stage, {}),
        }
        for stage in dict.fromkeys([*trained, *items])
    }
    # Sums of what the stages say.
    for name in ("images_seen", "images_per_second"):
        cost.pop(name, None)
    if "predicted_per_second" in cost:
        cost["predictions_per_second"] = cost.pop("predicted_per_second")
    return {**cost, "seconds": own, "shared_seconds": shared}


def _evaluation_from_2(evaluation: Json) -> Json:
    for score in ("accuracy", "loss"):
        names = [name for name in evaluation if name.endswith(f"_{score}") and name != "train_loss"]
        scores = {name.removesuffix(f"_{score}").replace("_", "-"): evaluation.pop(name) for name in names}
        evaluation[score] = {partition: value for partition, value in scores.items() if value is not None}
    return evaluation


MIGRATIONS: dict[int, Callable[[Json], Json]] = {1: _from_1, 2: _from_2}
"""Functions by the version that they migrate to the next one."""


def migrated(data: Json, version: int) -> Json:
    """Migrate the JSON of a record of some version to the current schema."""
    for step in range(version, CURRENT):
        data = {**MIGRATIONS[step](data), "schema_version": step + 1}
    return data
