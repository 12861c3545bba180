"""TOML files read into frozen models, every complaint one clear line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from bench.core.errors import UserError, did_you_mean
from bench.core.files import open_regular

MOST_BYTES = 2**20
"""Largest TOML file in bytes: that of a dataset of 10,000 classes has a fifth of it."""

MOST_LEVELS = 32
"""Deepest nesting of tables and arrays; what comes with the package has 4 levels."""

MOST_INTEGER = 2**63

DEEP_KEY = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_LEVELS}}}"""
)
"""Dotted key of too many parts: the parser's time grows with their square."""


class Frozen(BaseModel):
    """A model that cannot change and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_toml(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """The tables of a TOML file, checked against `model`; every complaint is one clear line."""
    try:
        data = _parsed(path)
    except (OSError, ValueError) as error:
        # Numbers and dates raise other errors than the parser's own.
        raise UserError(f"cannot read {path}: {error}") from None
    except RecursionError:
        raise UserError(f"cannot read {path}: {TOO_DEEP}") from None
    try:
        model.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error, model)}") from None
    return data


TOO_DEEP = f"tables or arrays are nested more than {MOST_LEVELS} levels deep"


def _parsed(path: Path) -> dict[str, Any]:
    """Parse a TOML file; a `ValueError` where it, or a number in it, is too large, or too deeply nested."""
    with open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    text = content.decode("utf-8")
    if DEEP_KEY.search(text):
        raise ValueError(TOO_DEEP)
    data = tomllib.loads(text)
    level: list[Any] = [data]
    for _ in range(MOST_LEVELS):
        inside = [
            inner for value in level for inner in (value.values() if isinstance(value, dict) else value)
        ]
        for value in inside:
            check_size(value)
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return data
    raise ValueError(TOO_DEEP)


def check_size(value: object) -> None:
    """Refuse a whole number that TOML does not have; a `ValueError`, as of the parser for other mistakes."""
    if isinstance(value, int) and not -MOST_INTEGER <= value < MOST_INTEGER:
        raise ValueError("a whole number has 64 bits at most")


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first complaint of a validation error, in one line, with a suggestion for unknown keys."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), owner.model_fields)
        return f"unknown key '{where}': {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f", not {_short(repr(first['input']))}"
    place = f"'{where}': " if where else ""
    return f"{place}{message[0].lower()}{_short(message[1:], 200)}{got}{more}"


def _short(text: str, most: int = 80) -> str:
    """The beginning of a text that may be a whole file."""
    return text if len(text) <= most else f"{text[:most]}…"


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The nested model that a validation error's location points into."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
                break
    return model
