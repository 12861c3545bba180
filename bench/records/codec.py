"""A record as the content of its file: JSON that knows its own checksum."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson
from pydantic import ValidationError

from bench.records.migrations import CURRENT, migrated
from bench.records.record import Record
from bench.spec.toml import describe

FIRST_WITH_CHECKSUM = 2


class Damaged(ValueError):
    """Content that is no whole record; the message is one line that says why."""


def encode(record: Record) -> bytes:
    """The content of a record's file."""
    return json.dumps(sealed(json.loads(record.model_dump_json())), indent=1).encode()


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a record with its checksum."""
    return {**data, "checksum": _checksum(data)}


def decode(content: bytes) -> Record:
    """The record that a file holds, whatever version of the schema it was written in.

    Raises:
        Damaged: it holds none, or not all of it, or it was changed.
    """
    data = _intact(content)
    if data is None:
        data = _checked(content)
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        raise Damaged(describe(error, Record)) from None


def _intact(content: bytes) -> dict[str, Any] | None:
    """The JSON of a record of today's schema, fast; None where it takes `_checked` to say.

    The checksum is over the values as the standard library writes them. Where orjson writes the same text,
    these are the values it was made of. It need not: letters beyond ASCII and 1e-05 are written otherwise.
    """
    try:
        data = orjson.loads(content)
        checksum = data.pop("checksum")
        text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    same = hashlib.sha256(text).hexdigest() == checksum
    return data if same and data.get("schema_version") == CURRENT else None


def _checked(content: bytes) -> dict[str, Any]:
    """The JSON of a record as today's schema has it, or what is wrong with it."""
    try:
        data = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise Damaged("not a record, but other JSON")
    checksum, version = data.pop("checksum", None), data.get("schema_version")
    if type(version) is not int or version < 1:
        raise Damaged("not a record: it has no version")
    if version > CURRENT:
        raise Damaged(f"version {version} of the schema, and this program knows up to {CURRENT}: update it")
    if version >= FIRST_WITH_CHECKSUM and checksum != _checksum(data):
        raise Damaged("the checksum inside differs: it was changed or damaged after it was written")
    return migrated(data, version)


def _checksum(data: dict[str, Any]) -> str:
    """Over the values in the file, not over its layout."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
