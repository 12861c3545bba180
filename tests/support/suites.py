"""Suites in memory. No torch."""

from __future__ import annotations

from typing import Any

from bench.spec.matrix.suite import Suite


def emoji_suite(**changes: Any) -> Suite:
    """Three domains, three classes, one method: a matrix that is easy to count."""
    known: dict[str, Any] = {
        "name": "mine",
        "description": "",
        "dataset": "emoji-home",
        "domains": ["google", "twitter", "apple"],
        "classes": 3,
        "backbones": ["tiny"],
        "methods": ["linear-probe"],
        "scenarios": [{"kind": "cross-domain", "shots": [0, 5]}],
    }
    return Suite(**{**known, **changes})
