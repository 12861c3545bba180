"""TOML files read into frozen models, every complaint one clear line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from bench.core.errors import UserError, did_you_mean


class Frozen(BaseModel):
    """A model that cannot change and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_toml(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """The tables of a TOML file, checked against `model`; every complaint is one clear line."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    try:
        model.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error, model)}") from None
    return data


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first complaint of a validation error, in one line, with a suggestion for unknown keys."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), owner.model_fields)
        return f"unknown key '{where}': {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f", not {_short(repr(first['input']))}"
    return f"'{where}': {message[0].lower()}{_short(message[1:], 200)}{got}{more}"


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
