"""Methods that misbehave, in a real run: their cells have failed, with the reason, and the suite goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, bench, install

HEAD = """
import os, sys, time
import torch
from bench.api import GradientMethod

class Bad(GradientMethod):
    def loss(self, modules, batch, progress):
"""
BAD = {
    "raises": "raise LookupError('nothing \\x1b[31mhere \\udcff')",
    "exits": "print('a last word'); sys.stdout.flush(); os._exit(7)",
    "leaves": "sys.exit('no more')",
    "eats": "return torch.empty(2**50).sum()",
    "hangs": "return time.sleep(3600) if progress > 0.2 else super().loss(modules, batch, progress)",
}

SUITE = """
description = "methods that misbehave"
dataset = "emoji-home"
domains = ["twitter"]
classes = 3
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["raises", "exits", "leaves", "eats", "hangs", "unloadable", "linear-probe"]

[budget]
steps = 20
evaluations = 1

[[scenarios]]
kind = "pretrained"
shots = [1]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    files = {name: f"{HEAD}        {line}\n" for name, line in BAD.items()}
    files["unloadable"] = "import os\nraise ValueError('not today')\n"
    install(folder / "site", "\n".join(f"{name} = {name}:Bad" for name in files), **files)
    (folder / "bad.toml").write_text(SUITE)
    return folder


def test_the_suite_goes_on(home: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(home / "site")])
    process = bench("run", "--suite", "bad.toml", "--timeout", "20", cwd=home, PYTHONPATH=path)
    assert process.returncode == 1, process.stderr
    found = {}
    for file in (home / "results" / "bad").glob("records/??/*.json"):
        record = json.loads(file.read_text())
        found[record["request"]["cell"]["method"]] = record["outcome"]
    assert found.pop("linear-probe")["status"] == "done"
    assert {outcome["status"] for outcome in found.values()} == {"failed"}
    reasons = {method: outcome["reason"] for method, outcome in found.items()}
    assert reasons["raises"].startswith("LookupError: nothing")
    assert reasons["raises"].endswith(" (raises.py:8)")
    assert reasons["unloadable"].endswith("cannot be imported: ValueError: not today (unloadable.py:2)")
    assert "exit code 7" in reasons["exits"]
    assert "a last word" in found["exits"]["log"]
    assert reasons["leaves"] == "SystemExit: no more (leaves.py:8)"
    assert reasons["eats"].startswith("out of memory at batches of 32")
    assert "took longer than 20 s; was at: target stage" in reasons["hangs"]
    assert "in loss" in found["hangs"]["log"], "where it hung"
    said = [line for line in process.stderr.splitlines() if line.startswith("failed: ")]
    assert len(said) == 6
    assert sum("(raises.py:8)" in line for line in said) == 1
    assert str(home) not in "".join(str(outcome) for outcome in found.values())
    assert "Traceback" not in process.stderr
    assert "\x1b" not in process.stderr + process.stdout, "what others say is printed, not obeyed"
