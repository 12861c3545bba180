"""Weights out of ONNX files, read as data: the graph is not looked at, and nothing is executed.

A file is a message of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/): fields by number,
of which those of `onnx.proto` that hold tensors are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.core.errors import UserError

GRAPH, INITIALISER = 7, 5
"""Fields of a model, and of its graph."""
DIMENSIONS, TYPE, NAME, RAW = 1, 2, 8, 9
"""Fields of a tensor."""
FLOAT = 1
"""Type of float32."""
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
"""How a field is written."""


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """Read the float32 tensors of a model by name.

    Raises:
        UserError: it is no such file.
    """
    try:
        graphs = [value for number, value in _fields(memoryview(content)) if number == GRAPH]
        parts = [
            value for graph in graphs for number, value in _fields(_bytes(graph)) if number == INITIALISER
        ]
        found = (_tensor(_bytes(part)) for part in parts)
        return {name: array for name, array in found if array is not None}
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(f"this is no file of ONNX weights: {error}") from None


def _tensor(message: memoryview) -> tuple[str, np.ndarray | None]:
    name, kind, raw, shape = "", 0, memoryview(b""), list[int]()
    for number, value in _fields(message):
        if number == DIMENSIONS:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == TYPE and isinstance(value, int):
            kind = value
        elif number == NAME:
            name = bytes(_bytes(value)).decode()
        elif number == RAW:
            raw = _bytes(value)
    if kind != FLOAT or len(raw) != 4 * math.prod(shape):
        return name, None
    return name, np.frombuffer(raw, dtype="<f4").reshape(shape).copy()


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of a message: the number of each, and its value."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == BYTES:
            length, place = _varint(message, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if place + length > len(message):
            raise ValueError("cut off")
        yield key >> 3, message[place : place + length]
        place += length


def _varints(packed: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(packed):
        value, place = _varint(packed, place)
        found.append(value)
    return found


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Whole number of up to ten bytes, seven bits in each, and the place behind it."""
    value = 0
    for position in range(10):
        byte = message[place + position]
        value |= (byte & 127) << (7 * position)
        if byte < 128:
            return value, place + position + 1
    raise ValueError("a number of more than ten bytes")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value
