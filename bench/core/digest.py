"""Digests of code, blind to comments, docstrings and layout, so that only a change of meaning counts."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

ENGINE = (
    "engine/training/accumulation.py",
    "api.py",
    "engine/training/artifacts.py",
    "networks/backbones.py",
    "networks/split.py",
    "data/*.py",
    "data/decoders/*.py",
    "data/sources/*.py",
    "networks/depthwise.py",
    "engine/evaluation/discrepancy.py",
    "engine/training/loop.py",
    "method/episodic.py",
    "engine/evaluation/predict.py",
    "engine/training/batches.py",
    "method/logistic.py",
    "networks/fuse.py",
    "engine/training/memory.py",
    "method/inner_loop.py",
    "method/base.py",
    "method/requirements.py",
    "engine/cell/execution.py",
    "engine/evaluation/evaluator.py",
    "engine/training/loop_state.py",
    "engine/evaluation/partitions.py",
    "networks/second_order.py",
    "networks/task_parallel.py",
    "engine/cell/stage.py",
    "core/seeds.py",
    "method/slices.py",
    "records/selection.py",
    "spec/suite.py",
    "engine/training/data_parallel.py",
    "engine/evaluation/validators.py",
    "engine/cell/features.py",
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
    """True if a statement is a docstring or another bare string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
