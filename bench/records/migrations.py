"""Older records as they would be written today: one function per version of the schema.

To change the schema: raise `Record.schema_version`, and add here what turns the JSON of the version before
into the new one. Migrations are applied when a record is read; its file stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.records.record import Record

Json = dict[str, Any]

CURRENT: int = Record.model_fields["schema_version"].default


def _from_1(data: Json) -> Json:
    """Version 2 has a checksum in the file and names predictions by their content; the model is the same."""
    return data


MIGRATIONS: dict[int, Callable[[Json], Json]] = {1: _from_1}
"""What makes of a record of some version one of the next."""


def migrated(data: Json, version: int) -> Json:
    """The JSON of a record of that version, as one of today's."""
    for step in range(version, CURRENT):
        data = {**MIGRATIONS[step](data), "schema_version": step + 1}
    return data
