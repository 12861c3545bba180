"""The page of licences names every package that `pyproject.toml` asks for."""

from __future__ import annotations

import re
import tomllib

from tests.support.checkout import ROOT


def test_every_dependency_is_listed() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    asked = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *(p for extra in project["optional-dependencies"].values() for p in extra),
    ]
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in asked} - {project["name"]}
    page = (ROOT / "docs" / "reference" / "licences.md").read_text(encoding="utf-8")
    listed = {name for row in re.findall(r"^\| ([^|]+) \|", page, re.M) for name in re.split(r"[, ]+", row)}
    assert names - listed == set(), "add them to docs/reference/licences.md, with their licence"
