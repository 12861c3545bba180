"""Formats of numbers, the same on the page, in the terminal and in Markdown."""

from __future__ import annotations

import math
from typing import TypeGuard

from bench.report.scores.bootstrap import Interval

DASH = "–"
MINUS = "−"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def known(value: float | None) -> TypeGuard[float]:
    """Return True if there is a number to write."""
    return value is not None and not math.isnan(value)


def percent(value: float | None) -> str:
    """`48.2`, or a dash."""
    return f"{value:.1f}" if known(value) else DASH


def decimals(value: float | None) -> str:
    """`1.93`, or a dash; also for what is infinite."""
    return _signed(f"{value:.2f}") if known(value) and math.isfinite(value) else DASH


def probability(value: float | None) -> str:
    """`0.034`, `< 0.001`, or a dash."""
    if not known(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: float | None) -> str:
    """`5,760`, or a dash."""
    return f"{value:,.0f}" if known(value) else DASH


def points(value: float | None) -> str:
    """`+3.1`, `−0.4`, or a dash. Never `−0.0`."""
    if not known(value):
        return DASH
    return _signed(f"{round(value, 1) + 0.0:+.1f}")


def interval(value: Interval | None, signed: bool = False) -> str:
    """`45.0 to 51.3`, signed for differences, or a dash."""
    if value is None:
        return DASH
    write = points if signed else percent
    return f"{write(value.low)} to {write(value.high)}"


def seconds(value: float | None) -> str:
    """Two or three digits and a unit: `12 ms`, `0.42 s`, `12.3 s`, `3.1 min`, `2.4 h`."""
    if not known(value):
        return DASH
    if 0 < value < 0.0995:
        return f"{1000 * value:.0f} ms" if value >= 0.00995 else f"{1000 * value:.1f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def mebibytes(value: float | None) -> str:
    """`820 MiB`, or a dash."""
    return f"{value:,.0f} MiB" if known(value) else DASH


ALIKE = 1.05
"""Ratio of two times up to which they are called the same."""


def pace(share: float | None) -> str:
    """Share of another's time in words: `2.6× faster`, `1.4× slower`, `as fast`, or a dash."""
    if not known(share) or share <= 0:
        return DASH
    ratio = max(share, 1 / share)
    size = f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"
    return f"{size}× {'faster' if share < 1 else 'slower'}" if ratio > ALIKE else "as fast"


def listed(names: list[str], most: int = 12) -> str:
    """`a, b and c`; beyond `most` names, how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
