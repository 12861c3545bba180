"""Digests of code, blind to comments, docstrings and layout, so that only a change of meaning counts."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent

ENGINE = (
    "accumulation.py",
    "api.py",
    "artifacts.py",
    "backbones.py",
    "cut.py",
    "data/*.py",
    "data/sources/*.py",
    "depthwise.py",
    "discrepancy.py",
    "engine.py",
    "episodic.py",
    "evaluate.py",
    "feed.py",
    "logistic.py",
    "fold.py",
    "memory.py",
    "meta.py",
    "method.py",
    "capability.py",
    "cell_run.py",
    "looks.py",
    "resume.py",
    "roles.py",
    "second_order.py",
    "task_batch.py",
    "trainer.py",
    "seeds.py",
    "slices.py",
    "selection.py",
    "suite.py",
    "team.py",
    "validators.py",
    "views.py",
)
"""Files of the engine that decide a cell's numbers."""


@cache
def engine_digest() -> str:
    """Digest of the engine's code."""
    return code_digest(*ENGINE)


def code_digest(*patterns: str) -> str:
    """Digest of the files of this package that match the patterns."""
    files = [path for pattern in patterns for path in sorted(PACKAGE.glob(pattern))]
    return combine(*(file_digest(path) for path in files))


@cache
def file_digest(path: Path) -> str:
    """Digest of one Python file's meaning."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return combine(_plain(tree))


def _plain(node: object) -> str:
    """A syntax tree as text, the same in every Python version: fields that say nothing are left out."""
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_plain(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return f"{type(node).__name__}({','.join(parts)})"
    return f"[{','.join(map(_plain, node))}]" if isinstance(node, list) else repr(node)


def combine(*parts: str) -> str:
    """16 hexadecimal digits over several strings."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring or another bare string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
