"""What a method says it is compared with, it is compared with, and in that version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from click.testing import CliRunner

from bench.cli import cli
from bench.method.registry import load_method, method_modules, method_reference
from tests.support.checkout import ROOT

LOADERS = {"peer", "importorskip"}


def compared() -> set[tuple[str, str]]:
    """Methods and peers that meet in a file of tests, which imports the one and loads the other."""
    found = set()
    for path in ROOT.glob("tests/**/test_*.py"):
        loaded, methods = peers_and_methods(path)
        found |= {(method, peer) for method in methods for peer in loaded}
    return found


def peers_and_methods(path: Path) -> tuple[set[str], set[str]]:
    peers, methods = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(args=[ast.Constant(str(module)), *_]):
                if re.split(r"\W", ast.unparse(node.func))[-1] in LOADERS:
                    peers.add(module.split(".")[0])
            case ast.ImportFrom(module=str(module)) if module.startswith("bench.methods."):
                methods.add(module.split(".")[-1].replace("_", "-"))
    return peers, methods


def declared() -> dict[str, tuple[str, str]]:
    """Peer and version by method."""
    references = {name: method_reference(name) for name in method_modules()}
    return {name: (text.split()[0], text.split()[1]) for name, text in references.items() if text}


def test_references_are_tested_and_tests_are_references() -> None:
    said = {(method, peer.replace("-", "_")) for method, (peer, _) in declared().items()}
    assert len(said) > 10
    assert said <= compared()
    # A method may help to test another one's peer.
    assert {method for method, _ in compared()} == {method for method, _ in said}


def test_references_are_listed() -> None:
    result = CliRunner().invoke(cli, ["list", "methods"], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.output.splitlines()]
    listed = {row[0]: tuple(row[-1].split(" ", 1)) for row in rows[1:] if len(row) == 4}
    assert rows[0][-1] == "checked against"
    assert listed == declared()


def test_versions_are_those_that_are_installed() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pyproject.toml"))
    for peer, version in declared().values():
        assert f"{peer}=={version}" in text


def test_references_are_read_without_importing() -> None:
    for name in method_modules():
        assert method_reference(name) == load_method(name).reference
