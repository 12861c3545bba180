"""Every method is checked against what it says, and in that version."""

from __future__ import annotations

import ast
import re
from importlib.metadata import packages_distributions
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.method.registry import OTHERS, family, load_method, method_modules, method_reference
from tests.support.checkout import ROOT

LOADERS = {"peer", "importorskip"}
BY_HAND = "hand-computed case"
DISTRIBUTIONS = {"avalanche": ["avalanche-lib"], **packages_distributions()}
"""Distributions by module; one that is named otherwise, also where it is not installed."""
OWN = sorted(name for name in method_modules() if family(name) != OTHERS)


def compared() -> set[tuple[str, str]]:
    """Methods and what they meet in a file of tests: peers that it loads, and cases `by_hand`, as it says."""
    found: set[tuple[str, str]] = set()
    for path in ROOT.glob("tests/**/test_*.py"):
        loaded, methods = peers_and_methods(path)
        found |= {*product(methods, loaded)}
    return found


def peers_and_methods(path: Path) -> tuple[set[str], set[str]]:
    peers, methods = set(), set()
    if path.stem == "test_by_hand":
        peers.add(BY_HAND)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(args=[ast.Constant(str(module)), *_]):
                if re.split(r"\W", ast.unparse(node.func))[-1] in LOADERS:
                    name = module.split(".")[0]
                    peers.add(DISTRIBUTIONS.get(name, [name])[0].replace("_", "-"))
            case ast.FunctionDef(name=name) if name.endswith("by_hand"):
                peers.add(BY_HAND)
            case ast.ImportFrom(module=str(module)) if module.startswith("bench.methods."):
                methods.add(module.split(".")[-1].replace("_", "-"))
    return peers, methods


def published() -> dict[str, tuple[str, str]]:
    """Peer and version of each method that has one."""
    references = {name: method_reference(name) for name in OWN}
    return {
        name: (text.split()[0], text.split()[1])
        for name, text in references.items()
        if text not in {"", BY_HAND}
    }


@pytest.mark.parametrize("name", OWN)
def test_every_method_is_checked(name: str) -> None:
    assert method_reference(name), (
        f"{name} is checked against nothing: compare it with a package that publishes it, or with a case of "
        f'its equations in a test that is named ..._by_hand (reference = "{BY_HAND}"): see CONTRIBUTING.md'
    )


def test_references_are_tested() -> None:
    peers = published()
    assert len(peers) >= 25
    said = {(name, peers[name][0] if name in peers else method_reference(name)) for name in OWN}
    missing = {(name, reference) for name, reference in said - compared() if reference}
    assert not missing, "no file of tests has these together"


def test_references_are_listed() -> None:
    result = CliRunner().invoke(cli, ["list", "methods"], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.output.splitlines()]
    assert rows[0][-1] == "checked against"
    said = {name: method_reference(name) for name in OWN if method_reference(name)}
    assert {row[0]: row[-1] for row in rows[1:] if row[0] in said} == said


def test_versions_are_those_that_are_installed() -> None:
    """One version, or with a + those from it on."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pyproject.toml"))
    for peer, version in published().values():
        pin = f"{peer}>={version[:-1]}" if version.endswith("+") else f"{peer}=={version}"
        assert re.search(rf"{re.escape(pin)}(?![\w.])", text), pin


def test_references_are_read_without_importing() -> None:
    for name in OWN:
        assert method_reference(name) == load_method(name).reference
