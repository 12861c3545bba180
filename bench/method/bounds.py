"""Bounds of hyperparameters: the values for which a method is what it says, searched or not."""

from __future__ import annotations

import operator
import re
from dataclasses import Field, fields
from typing import TYPE_CHECKING

from bench.core.errors import UserError, check_name

if TYPE_CHECKING:
    from bench.method.base import Method

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
CONDITION = re.compile(r"(>=|<=|>|<) (-?\d+(?:\.\d+)?(?:e-?\d+)?)")
NOT_NEGATIVE, SHARE = ">= 0", ">= 0, <= 1"


def bounds_of(cls: type[Method]) -> dict[str, str]:
    """Conditions on a method's numbers, as `> 0, <= 1`, by hyperparameter: declared ones, else by its range.

    A range on a logarithmic scale is of strengths, rates and sizes, which may be 0 and not less; one on a
    linear scale within 0 and 1 is of shares. Of others nothing is known.
    """
    bounds = {field.name: _of_range(field) for field in fields(cls)}  # type: ignore[arg-type]
    for base in reversed(cls.__mro__):
        for name, bound in vars(base).get("bounds", {}).items():
            check_name(f"hyperparameter in bounds of {base.__name__}", name, bounds)
            bounds[name] = bound
    return {name: bound for name, bound in bounds.items() if bound}


def _of_range(field: Field[object]) -> str:
    low, high, log = (field.metadata.get(key) for key in ("low", "high", "log"))
    if low is None or high is None or low < 0:
        return ""
    if log:
        return NOT_NEGATIVE
    return SHARE if high <= 1 else ""


def conditions(text: str) -> list[tuple[str, float]]:
    """Comparisons of a bound, as `>=` and 0.

    Raises:
        UserError: it is none.
    """
    parts = text.split(", ") if text else []
    found = [CONDITION.fullmatch(part) for part in parts]
    if not all(found):
        raise UserError(f"'{text}' bounds no number: write conditions like '> 0' or '>= 0, <= 1'")
    return [(match[1], float(match[2])) for match in found if match]


def check_bounds(name: str, method: Method) -> None:
    """Raise a `UserError` for the first number of a method that is out of bounds."""
    for parameter, bound in bounds_of(type(method)).items():
        value = getattr(method, parameter)
        if not isinstance(value, int | float):
            continue
        if not all(COMPARISONS[sign](value, limit) for sign, limit in conditions(bound)):
            raise UserError(f"{name}.{parameter}: a number {bound.replace(', ', ' and ')}, not {value}")
