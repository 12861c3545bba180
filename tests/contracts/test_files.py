"""Files of methods are short, and no other file knows a method by its name."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

from bench.method.registry import OTHERS, family, method_file, method_modules
from tests import structure

LINES = 60
LONGER = {"nas-lite"}
"""A search space, its networks and its search are one thing."""
OWN = sorted(name for name in method_modules() if family(name) != OTHERS)
SILENT = {getattr(tokenize, name) for name in ("COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER")}
NAMED = {
    "bench.commands.experiments.check_search": {"nas-lite"},
    "bench.commands.experiments.rank_backbones": {"linear-probe"},
    "bench.commands.results.report": {"full-finetune"},
    "bench.commands.experiments.feasibility": {"shot"},
    "bench.engine.evaluation.validators": {"bnm"},
    "bench.networks.split": {"pooled"},
    "bench.report.tables.gains": {"linear-probe", "scratch"},
    "bench.report.tables.scenarios.parts": {"local-only"},
    "bench.spec.cell": {"joint"},
    "bench.spec.matrix.suite": {"linear-probe"},
    "bench.spec.rules": {"bnm"},
    "bench.spec.scenarios.source_free": {"replay"},
    "bench.spec.stages": {"replay"},
}
"""Modules that compare with a method, which is part of their question; others are words of other meanings."""


def code_lines(text: str) -> int:
    """Lines with code: not those that are empty, comments, docstrings or bounds, which decide nothing."""
    used = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(str())) | ast.Assign(targets=[ast.Name("bounds")]):
                used -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(used)


def test_lines_are_counted() -> None:
    heading = '"""Two\nlines."""\n\nx = 1  # one\n# none\n\n\n'
    assert code_lines(heading + 'def f(\n    y,\n):\n    """Doc."""\n    return """a\nb"""\n') == 1 + 3 + 2


@pytest.mark.parametrize("name", OWN)
def test_files_of_methods_are_short(name: str) -> None:
    lines = code_lines(method_file(name).read_text(encoding="utf-8"))
    assert lines <= LINES or name in LONGER, f"{lines} lines of code"


def strings(path: Path) -> set[str]:
    """Texts that stand in a file's code, docstrings left out."""
    tree = structure.tree(path)
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said
    }


def test_no_other_file_knows_a_method_by_its_name() -> None:
    found = {
        module: names
        for module, path in structure.modules().items()
        if not module.startswith("bench.methods.") and (names := strings(path) & set(OWN))
    }
    assert found == NAMED
