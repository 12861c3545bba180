"""What pull requests are held against: the committed baseline, the script, the workflows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.cli import cli
from bench.data.catalog import load_card
from bench.records.store import Store
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.support.cells import TINY
from tests.support.checkout import ROOT, bench

SCRIPT = ROOT / "ci" / "regressions.sh"
WORKFLOWS = (
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    ROOT / "examples/tracking/regressions.yml",
)


def test_the_committed_baseline_answers_what_smoke_asks() -> None:
    suite = load_suite("smoke")
    asked = {cell.key for cell in plan(suite, load_card(suite.dataset))}
    store = Store(ROOT / "results" / "baselines" / "smoke")
    assert {record.key for record in store.records()} == asked, (
        "save it again: docs/how-to/continuous-integration.md"
    )
    assert not store.unreadable


def script(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "RESULTS": "new", **environment}
    command = ["sh", str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_the_script(tmp_path: Path) -> None:
    run = ("--suite", "smoke", "--backbone", TINY, "--methods")
    absent = script("mine", *run, "linear-probe,full-finetune", cwd=tmp_path)
    assert absent.returncode == 2, "there is no baseline yet"
    assert "no results folder and no baseline 'mine'" in absent.stderr
    assert bench("baseline", "save", "mine", "--results", "new", cwd=tmp_path).returncode == 0
    gone = script(
        "mine", *run, "linear-probe", cwd=tmp_path, RESULTS="less", GITHUB_STEP_SUMMARY="summary.md"
    )
    assert gone.returncode == 1, gone.stderr
    assert "full-finetune google → twitter" in gone.stdout
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("**3 regressions**")
    assert summary == (tmp_path / "less" / "change.md").read_text(encoding="utf-8")
    again = script("mine", *run, "linear-probe,full-finetune", "--seeds", "0", cwd=tmp_path, RESULTS="again")
    assert "**0 regressions**" in again.stdout or "training takes" in again.stdout, again.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_workflows_call_what_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert "pull_request" in workflow[True], "YAML takes `on` for a truth"
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    verbs = re.findall(r"-m bench (\w+)", commands)
    assert set(verbs) <= set(cli.commands)
    for name in re.findall(r"^(?:sh )?(\.?ci/\S+)", commands, re.MULTILINE):
        assert (ROOT / name).is_file()
    for verb, options in re.findall(r"-m bench (\w+)((?:[^\n&|\\]|\\\n)*)", commands):
        known = {name for parameter in cli.commands[verb].params for name in parameter.opts}
        assert set(re.findall(r"(?<= )--[\w-]+", options)) <= known, verb
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for names in re.findall(r"^make ([a-z -]+)$", commands, re.MULTILINE):
        assert set(names.split()) <= {*targets}
