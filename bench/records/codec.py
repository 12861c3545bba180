"""Codec of record files: JSON that holds its own checksum."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import orjson
from pydantic import ValidationError

from bench.records.migrations import CURRENT, Json, migrated
from bench.records.record import Record
from bench.spec.toml import describe

FIRST_WITH_CHECKSUM = 2
LARGEST = 2**24
"""Largest file of a record in bytes; it has kilobytes, most of them the end of a failed cell's log."""
DEEPEST = 200
"""Deepest nesting of a record's JSON; it has eight levels or so, and libraries write 250."""


class Damaged(ValueError):
    """Content that is not a whole record; the message is one line that says why."""


def encode(record: Record) -> bytes:
    """Encode a record as the content of its file."""
    return json.dumps(with_checksum(json.loads(record.model_dump_json())), indent=1).encode()


def with_checksum(data: Json) -> Json:
    """Add its checksum to the JSON of a record."""
    return {**data, "checksum": _checksum(data)}


def decode(content: bytes) -> Record:
    """Decode the content of a record's file, written in any version of the schema so far.

    Raises:
        Damaged: the content is no record, or not all of one, or it was changed, or its schema is newer.
    """
    data = _intact(content)
    if data is None:
        data = _checked(content)
    try:
        record = Record.model_validate(data)
    except ValidationError as error:
        raise Damaged(describe(error, Record)) from None
    # A tenth of the time of decoding: whoever changes a record can also compute its checksum anew.
    if record.request.cell.key != record.key:
        raise Damaged(f"its cell has the key {record.request.cell.key}, not {record.key}: it was changed")
    return record


def _intact(content: bytes) -> Json | None:
    """Parse a record of the current schema, fast; None where only `_checked` can tell whether it is one.

    The checksum is over the values as the standard library writes them. Where orjson writes the same text,
    these are the values it was made of. It need not: letters beyond ASCII and 1e-05 are written otherwise.
    """
    try:
        data: Json = orjson.loads(content)
        checksum = data.pop("checksum")
        text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    same = hashlib.sha256(text).hexdigest() == checksum
    return data if same and data.get("schema_version") == CURRENT else None


def _checked(content: bytes) -> Json:
    """Parse a record of any schema, check its checksum and migrate it; raises `Damaged`."""
    try:
        data = json.loads(content, parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise Damaged("not a record, but other JSON")
    if _depth(data) > DEEPEST:
        raise Damaged(f"nested deeper than {DEEPEST} levels")
    checksum, version = data.pop("checksum", None), data.get("schema_version")
    if type(version) is not int or version < 1:
        raise Damaged("not a record: it has no version")
    if version > CURRENT:
        raise Damaged(f"version {version} of the schema, and this program knows up to {CURRENT}: update it")
    if version >= FIRST_WITH_CHECKSUM and checksum != _checksum(data):
        raise Damaged("the checksum inside differs: it was changed or damaged after it was written")
    return migrated(data, version)


def _checksum(data: Json) -> str:
    """Digest the values in the file, not its layout."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    """Parse a number; Python takes one that is too large for infinity."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is no number")
    return number


def _short(text: str) -> int:
    """Parse an integer of the size of one."""
    if len(text) > 20:
        raise ValueError(f"{text[:20]}… is too large a number")
    return int(text)


def _depth(value: Any) -> int:
    """Depth of nested JSON."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return depth
