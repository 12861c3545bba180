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
COST_RENAMED_IN_3 = {
    "images_seen": "items_seen",
    "images_per_second": "items_per_second",
    "predicted_per_second": "predictions_per_second",
}


def _from_2(data: Json) -> Json:
    """Version 3 renames fields to the terms of the field."""
    data = _renamed(data, RENAMED_IN_3)
    if isinstance(cost := data.get("cost"), dict):
        data["cost"] = _renamed(cost, COST_RENAMED_IN_3)
    with contextlib.suppress(KeyError, TypeError, AttributeError):  # the model reports what is missing
        cell = data["request"]["cell"]
        budget = _renamed(cell["budget"], {"looks": "evaluations"})
        data["request"] = {**data["request"], "cell": {**cell, "budget": budget}}
    return data


def _renamed(data: Json, names: dict[str, str]) -> Json:
    return {names.get(name, name): value for name, value in data.items()}


MIGRATIONS: dict[int, Callable[[Json], Json]] = {1: _from_1, 2: _from_2}
"""Functions by the version that they migrate to the next one."""


def migrated(data: Json, version: int) -> Json:
    """Migrate the JSON of a record of some version to the current schema."""
    for step in range(version, CURRENT):
        data = {**MIGRATIONS[step](data), "schema_version": step + 1}
    return data
