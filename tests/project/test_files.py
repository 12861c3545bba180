"""Files around the code: targets, hooks, forms, the citation."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from bench.core.version import __version__
from tests.support.checkout import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PHONY = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()


def load(path: Path) -> dict[str, object]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_make_help_lists_every_target() -> None:
    # A make that runs these tests tells the one below to announce its folder.
    command = ["make", "--no-print-directory", "help"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(line.split(maxsplit=1) for line in process.stdout.splitlines())
    assert list(listed) == PHONY
    assert all(len(text.split()) > 1 for text in listed.values())


def test_targets() -> None:
    assert PHONY[0] == re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)[0] == "demo", "`make` alone makes it"
    assert set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)) == set(PHONY)


def test_targets_that_documents_name_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / ".ci" / "run"]
    for page in pages:
        for name in re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in PHONY, f"{page.name}: make {name}"


def test_hooks_fetch_nothing() -> None:
    config = load(ROOT / ".pre-commit-config.yaml")
    repos = config["repos"]
    assert isinstance(repos, list)
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy"]
    for hook in hooks:
        assert hook["language"] == "system"
        assert {"name", "entry"} <= hook.keys()


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem
)
def test_forms_for_issues(path: Path) -> None:
    form = load(path)
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= form.keys()
    body = form["body"]
    assert isinstance(body, list)
    for part in body:
        assert part["type"] in {"input", "textarea", "dropdown", "checkboxes", "markdown"}
        assert part["attributes"]["label"]
    names = [part["id"] for part in body]
    assert len(names) == len(set(names))
    assert any(part.get("validations", {}).get("required") for part in body)


def test_form_for_changes() -> None:
    text = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
    assert "- [ ] " in text


def test_what_reports_need_is_a_part_of_what_everything_needs() -> None:
    lines = (ROOT / "requirements-report.txt").read_text(encoding="utf-8").splitlines()
    needed = {line for line in lines if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert needed < {*project["dependencies"]}
    assert not [line for line in needed if line.startswith(("torch", "timm"))]


def test_citation() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys(), "the format's required keys"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["title"] == project["name"]
    assert citation["version"] == __version__
    assert citation["license"] == project["license"]["text"]
    assert citation["authors"] == project["authors"]
