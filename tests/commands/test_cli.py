"""The command line from outside: what users type, and what they get wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bench.cli import cli, main
from bench.commands.results.growing import SOON
from bench.data import catalog
from bench.records.store import Store
from bench.spec.matrix import suite as suites
from tests.support.checkout import ROOT, bench, python

Plan = Callable[..., dict[str, str]]
Process = subprocess.CompletedProcess[str]
TINY_RUN = ("--backbone", "test_efficientnet.untrained", "--seeds", "7")


def records(folder: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("records/??/*.json")}


def imported(process: Process) -> set[str]:
    """Modules that a process under `-X importtime` imported."""
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip() for line in lines}


@dataclass(frozen=True)
class Smoke:
    """A results folder of the smoke suite, and how the run went."""

    home: Path
    process: Process
    seconds: float

    @property
    def folder(self) -> Path:
        return self.home / "results" / "smoke"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    home = tmp_path_factory.mktemp("home")
    began = time.monotonic()
    return Smoke(home, bench("run", "--suite", "smoke", cwd=home), time.monotonic() - began)


def test_first_run(smoke: Smoke) -> None:
    assert smoke.process.returncode == 0, smoke.process.stderr
    found = records(smoke.folder)
    said = re.search(r"suite smoke: (\d+) cells, 0 recorded, (\d+) to run", smoke.process.stdout)
    assert said, smoke.process.stdout
    assert int(said[1]) == int(said[2]) == len(found)
    assert {record["outcome"]["status"] for record in found.values()} <= {"done", "skipped"}
    for name in ("linear-probe", "full-finetune", "dann"):
        assert name in smoke.process.stdout
    page = smoke.folder / "report.html"
    assert f"report: {page.relative_to(smoke.home)}" in smoke.process.stdout
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    # One line a cell on the error stream, cheap methods first, and where the page is soon after two are done.
    lines = smoke.process.stderr.strip().splitlines()
    so_far = f"report so far: {page.relative_to(smoke.home)}, written anew as cells end"
    shown = lines.index(so_far) if smoke.seconds > 2 * SOON or so_far in lines else len(lines)
    methods = [re.match(r"\[\d+/\d+\] (?:done|skipped) (\S+) ", line) for line in lines]
    order = [method[1] for method in methods if method]
    assert len(order) == len(found) == len(lines) - (shown < len(lines))
    assert order[0] == "linear-probe"
    assert order[-1] == "dann"
    assert len({*order[:shown]}) >= 2
    assert not [path.name for path in smoke.folder.rglob(".tmp-*")]


def test_second_run_runs_nothing_and_needs_no_torch(smoke: Smoke) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke.folder.glob("records/??/*")}
    again = python("-X", "importtime", "-m", "bench", "run", "--suite", "smoke", cwd=smoke.home)
    assert again.returncode == 0
    cells = len(records(smoke.folder))
    assert f"suite smoke: {cells} cells, {cells} recorded, 0 to run" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in smoke.folder.glob("records/??/*")}
    assert "numpy" in imported(again)
    assert not imported(again) & {
        "torch",
        "timm",
        "torchvision",
        "sklearn",
        "matplotlib",
        "seaborn",
        "jinja2",
    }
    table = smoke.process.stdout.split("\n", 1)[1]
    assert again.stdout.split("\n", 1)[1] == table, "the same records, the same table"


def test_interrupted_suite_goes_on(smoke: Smoke) -> None:
    """Of the records only one is gone: only that cell is asked again, by what the others left."""
    key = next(
        k for k, r in records(smoke.folder).items() if r["request"]["cell"]["method"] == "linear-probe"
    )
    store = Store(smoke.folder)
    before = store.read(key)
    assert before
    store.path(key).unlink()
    process = bench("run", "--suite", "smoke", cwd=smoke.home)
    assert process.returncode == 0
    assert ", 1 to run" in process.stdout
    after = store.read(key)
    assert after
    assert after.evaluations == before.evaluations
    assert after.predictions_sha256 == before.predictions_sha256


@dataclass(frozen=True)
class Again:
    """One recorded cell that was run again, and what there was before."""

    key: str
    files: dict[str, bytes]
    predictions: dict[str, np.ndarray]
    process: Process


@pytest.fixture(scope="module")
def again(smoke: Smoke) -> Again:
    key = next(
        k for k, r in records(smoke.folder).items() if r["request"]["cell"]["method"] == "linear-probe"
    )
    store = Store(smoke.folder)
    record = store.read(key)
    assert record
    predictions = load_file(store.predictions_path(record))
    files = {path.stem: path.read_bytes() for path in smoke.folder.glob("records/??/*.json")}
    return Again(key, files, predictions, bench("run", "--cell", key, cwd=smoke.home))


def test_one_cell_again(smoke: Smoke, again: Again) -> None:
    assert again.process.returncode == 0, again.process.stderr
    assert ", 1 to run" in again.process.stdout
    store = Store(smoke.folder)
    record = store.read(again.key)
    assert record
    files = {path.stem: path.read_bytes() for path in smoke.folder.glob("records/??/*.json")}
    assert files.keys() == again.files.keys()
    assert {key for key in files if files[key] != again.files[key]} == {again.key}, "measured anew"
    now = store.predictions(record)
    assert now.keys() == again.predictions.keys()
    assert all((now[name] == again.predictions[name]).all() for name in now)


def test_one_cell_again_leaves_the_report_whole(smoke: Smoke, again: Again) -> None:
    """The page of the folder shows the folder, not only the cell that was run again."""
    assert again.process.returncode == 0
    page = (smoke.folder / "report.html").read_text(encoding="utf-8")
    for name in ("linear-probe", "full-finetune", "dann"):
        assert name in page


def test_fresh_runs_what_is_recorded(smoke: Smoke) -> None:
    before = records(smoke.folder)
    process = bench("run", "--suite", "smoke", "--methods", "linear-probe", "--fresh", cwd=smoke.home)
    assert process.returncode == 0, process.stderr
    probes = {key for key, record in before.items() if record["request"]["cell"]["method"] == "linear-probe"}
    assert f"{len(probes)} to run" in process.stdout
    after = records(smoke.folder)
    assert after.keys() == before.keys()
    assert {key for key in after if after[key]["cost"] != before[key]["cost"]} == probes
    for key in probes:
        assert after[key]["predictions_sha256"] == before[key]["predictions_sha256"]


@pytest.fixture
def plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., dict[str, str]]:
    """`plan(arguments)`: key -> title of what would run."""
    monkeypatch.chdir(tmp_path)

    def keys_and_titles(*arguments: str) -> dict[str, str]:
        code, out, err = call(monkeypatch, capsys, "run", "--suite", "smoke", "--plan", *arguments)
        assert (code, err) == (0, "")
        lines = [line.split("  ", 1) for line in out.splitlines()]
        return {line[0]: line[1] for line in lines if re.fullmatch("[0-9a-f]{16}", line[0])}

    return keys_and_titles


def test_plan_runs_nothing(smoke: Smoke, plan: Plan, tmp_path: Path) -> None:
    planned = plan()
    assert planned.keys() == records(smoke.folder).keys()
    assert not list(tmp_path.iterdir())


def test_plan_narrowed(plan: Plan) -> None:
    everything = plan()
    probes = plan("--methods", "linear-probe")
    assert probes.keys() < everything.keys()
    assert all(title.startswith("linear-probe ") for title in probes.values())
    seeds = plan("--methods", "linear-probe", "--seeds", "0, 1,2")
    assert len(seeds) == 3 * len(probes)
    assert probes.keys() < seeds.keys()
    elsewhere = plan("--source", "apple", "--target", "windows")
    assert len(elsewhere) == len(everything)
    assert {re.search(r"(\w+) → (\w+)", title)[0] for title in elsewhere.values()} == {  # type: ignore[index]
        "apple → windows",
        "pretrained → windows",
    }


def test_set_changes_the_question(plan: Plan) -> None:
    plain = plan("--methods", "linear-probe,dann")
    changed = plan("--methods", "linear-probe,dann", "--set", "dann.weight=0.5")
    probes = {key for key, title in plain.items() if title.startswith("linear-probe")}
    assert plain.keys() & changed.keys() == probes
    assert len(changed) == len(plain)
    default = plan("--methods", "linear-probe,dann", "--set", "dann.weight=1", "--set", "dann.hidden=1024")
    assert default == plain, "a default said out loud is the same question"


def test_narrowing_a_suite_with_hyperparameters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A suite that sets something for dann can still be asked about the probe alone."""
    file = suite_file(tmp_path, "[set.dann]\nweight = 0.5\n")
    code, out, err = call(monkeypatch, capsys, "run", "--suite", file, "--methods", "linear-probe", "--plan")
    assert (code, err) == (0, "")
    assert "linear-probe" in out
    assert "dann" not in out


def test_diverging_cell_is_a_record_and_exit_code_1(tmp_path: Path) -> None:
    run = (
        "run",
        "--suite",
        "smoke",
        "--methods",
        "full-finetune,linear-probe",
        *TINY_RUN,
        "--results",
        "out",
    )
    run = (*run, "--set", "full-finetune.learning_rate=1e30")
    process = bench(*run, cwd=tmp_path)
    assert process.returncode == 1
    found = records(tmp_path / "out")
    cells = [record["request"]["cell"] for record in found.values()]
    assert {(cell["seed"], cell["backbone"]) for cell in cells} == {(7, "test_efficientnet.untrained")}
    failed = {k for k, r in found.items() if r["outcome"]["status"] == "failed"}
    assert failed == {k for k, r in found.items() if r["request"]["cell"]["method"] == "full-finetune"}
    said = [line for line in process.stderr.splitlines() if line.startswith("failed: ")]
    assert len(said) == len(failed)
    for key in failed:
        assert found[key]["outcome"]["reason"].startswith("diverged: ")
        assert any(line.endswith(f"({key})") and "diverged" in line for line in said)
    assert "Traceback" not in process.stderr
    assert (tmp_path / "out" / "report.html").is_file()

    again = bench(*run, cwd=tmp_path)
    assert again.returncode == 1, "what failed stays failed"
    assert ", 0 to run" in again.stdout
    retried = bench(*run, "--retry-failed", cwd=tmp_path)
    assert retried.returncode == 1
    assert f", {len(failed)} to run" in retried.stdout


def test_a_hyperparameter_that_is_no_number_is_refused_or_recorded(tmp_path: Path) -> None:
    """Whatever is made of it, a record that was just written can be read again."""
    run = ("run", "--suite", "smoke", "--methods", "full-finetune", *TINY_RUN, "--results", "out")
    process = bench(*run, "--set", "full-finetune.learning_rate=nan", "--target", "twitter", cwd=tmp_path)
    assert process.returncode in {1, 2}
    assert "Traceback" not in process.stderr
    store = Store(tmp_path / "out")
    assert len(list(store.records())) == len(store.keys()), store.unreadable


def test_report(smoke: Smoke) -> None:
    process = bench("report", "--out", "page.html", cwd=smoke.home)
    assert process.returncode == 0
    assert process.stdout.strip() == "page.html"
    assert (smoke.home / "page.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("suites", ["smoke", "recipes"]),
        ("methods", ["linear-probe", "full-finetune", "dann"]),
        ("datasets", ["emoji-home", "google", "55"]),
        ("backbones", ["tf_efficientnet_lite0", "untrained"]),
    ],
)
def test_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, expected: list[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, "list", what)
    assert (code, err) == (0, "")
    assert all(text in out for text in expected)


def test_a_broken_file_does_not_take_its_list_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A suite and a card that are half written are named with the reason; the others are listed."""
    for module, name, word in ((suites, "SUITES", "suites"), (catalog, "CARDS", "datasets")):
        folder = tmp_path / word
        folder.mkdir()
        whole = sorted(getattr(module, name).glob("*.toml"))[0]
        (folder / whole.name).write_bytes(whole.read_bytes())
        (folder / "half.toml").write_text('description = "half\n')
        monkeypatch.setattr(module, name, folder)
        code, out, err = call(monkeypatch, capsys, "list", word)
        assert (code, err) == (0, "")
        assert whole.stem in out
        assert "half" in out
        assert "cannot" in " ".join(out.split())
    code, _, err = call(monkeypatch, capsys, "run", "--suite", "half")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot read" in err
    assert "line 1" in err


def test_version_and_help(tmp_path: Path) -> None:
    from bench import __version__

    process = bench("--version", cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert __version__ in process.stdout
    process = python("-X", "importtime", "-m", "bench", "run", "--help", cwd=tmp_path)
    assert process.returncode == 0
    assert "--keep-stale" in process.stdout
    heavy = {"torch", "pandas", "pydantic", "numpy", "rich", "timm", "matplotlib"}
    assert not imported(process) & heavy


def test_no_arguments_is_help(tmp_path: Path) -> None:
    process = bench(cwd=tmp_path)
    assert "Usage:" in process.stdout + process.stderr
    assert "error:" not in process.stderr


# What users get wrong ---------------------------------------------------------------------------------


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """`python -m bench ...` in this process: exit code, output, errors."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    capsys.readouterr()
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    out, err = capsys.readouterr()
    return code, out, err


SUITE = """
description = "a suite of the user's own"
dataset = "emoji-home"
domains = ["google", "twitter"]
classes = 3
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe", "dann"]

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [1]
"""


def suite_file(folder: Path, extra: str = "", **replaced: str) -> str:
    """A suite file, with lines of it replaced and tables added."""
    text = SUITE
    for key, value in replaced.items():
        text, changed = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        if not changed:
            text = f"{key} = {value}\n{text}"
    path = folder / "own.toml"
    path.write_text(text + extra)
    return str(path)


@dataclass(frozen=True)
class Wrong:
    """A request that cannot be met, and what its one line of error says."""

    arguments: tuple[str, ...]
    expected: tuple[str, ...]
    file: dict[str, str] = field(default_factory=dict)
    extra: str = ""


OWN = ("run", "--suite", "FILE")
RUN = ("run", "--suite", "smoke")
WRONG = {
    "command": Wrong(("rnu",), ("unknown command 'rnu'", "'run'")),
    "option": Wrong((*RUN, "--methds", "dann"), ("--methds", "--methods")),
    "list": Wrong(("list", "method"), ("unknown list 'method'", "'methods'")),
    "no-suite": Wrong(("run",), ("--suite",)),
    "suite": Wrong(("run", "--suite", "smok"), ("unknown suite 'smok'", "'smoke'")),
    "suite-file-missing": Wrong(("run", "--suite", "nowhere/own.toml"), ("nowhere/own.toml",)),
    "method": Wrong((*RUN, "--methods", "dannn"), ("unknown method 'dannn'", "'dann'")),
    "method-in-file": Wrong(
        OWN, ("unknown method 'linear-prob'", "'linear-probe'"), {"methods": '["linear-prob"]'}
    ),
    "methods-empty": Wrong((*RUN, "--methods", ","), ("--methods",)),
    "source": Wrong((*RUN, "--source", "gogle"), ("'gogle'", "'google'")),
    "target": Wrong((*RUN, "--target", "twiter"), ("'twiter'", "'twitter'")),
    "same-domain": Wrong((*RUN, "--source", "google", "--target", "google"), ("'google'", "two domains")),
    "backbone": Wrong(
        (*RUN, "--backbone", "tf_eficientnet_lite0"), ("unknown backbone", "'tf_efficientnet_lite0'")
    ),
    "backbone-of-a-plan": Wrong(
        (*RUN, "--plan", "--backbone", "restnet18"), ("unknown backbone 'restnet18'", "'resnet18'")
    ),
    "path-too-long": Wrong((*RUN, "--results", "x" * 300), ("is too long", "shorter path")),
    "weights": Wrong((*RUN, "--backbone", "resnet18.a1_in2k"), ("unknown weights", "'resnet18.a1_in1k'")),
    "no-weights": Wrong(
        (*RUN, "--backbone", "botnet50ts_256"), ("no pretrained weights", "botnet50ts_256.untrained")
    ),
    "device": Wrong((*RUN, "--device", "gpu"), ("no device 'gpu'", "cpu")),
    "device-index": Wrong((*RUN, "--device", "cpu:7"), ("no device 'cpu:7'", "cpu")),
    "set-form": Wrong((*RUN, "--set", "dann"), ("method.param=value", "'dann'")),
    "set-no-parameter": Wrong((*RUN, "--set", "dann=1"), ("method.param=value", "'dann=1'")),
    "set-no-value": Wrong((*RUN, "--set", "dann.weight"), ("method.param=value", "'dann.weight'")),
    "set-out-of-bounds": Wrong(
        (*RUN, "--plan", "--set", "dann.weight=-1"), ("dann.weight: a number >= 0, not -1",)
    ),
    "set-method": Wrong((*RUN, "--set", "dannn.weight=1"), ("'dannn'", "'dann'")),
    "set-parameter": Wrong(
        (*RUN, "--set", "dann.wieght=1"), ("hyperparameter of dann", "'wieght'", "'weight'")
    ),
    "set-type": Wrong((*RUN, "--set", "dann.weight=heavy"), ("dann.weight", "number", "'heavy'")),
    "set-fraction": Wrong((*RUN, "--set", "dann.hidden=1.5"), ("dann.hidden", "integer", "1.5")),
    "set-list": Wrong((*RUN, "--set", "dann.weight=[1]"), ("dann.weight", "[1]")),
    "set-in-file": Wrong(OWN, ("hyperparameter of dann", "'weight'"), extra="[set.dann]\nwieght = 1.0\n"),
    "seeds": Wrong((*RUN, "--seeds", "0,one"), ("--seeds", "'one'")),
    "seeds-negative": Wrong((*RUN, "--seeds", "-1"), ("--seeds", "'-1'")),
    "seeds-fraction": Wrong((*RUN, "--seeds", "1.5"), ("--seeds", "'1.5'")),
    "cell": Wrong(("run", "--cell", "0123456789abcdef"), ("0123456789abcdef", "--results")),
    "unwritable": Wrong((*RUN, "--results", "FILE/results"), ("cannot write", "--results")),
    "results-is-file": Wrong((*RUN, "--results", "FILE"), ("cannot write", "--results")),
    "report-nowhere": Wrong(
        ("report", "--results", "nowhere"), ("no results folder and no baseline 'nowhere'",)
    ),
    "report-nothing": Wrong(("report",), ("nothing in 'results'",)),
    "key": Wrong(OWN, ("own.toml", "unknown key 'seedz'", "'seeds'"), {"seedz": "[1]"}),
    "nested-key": Wrong(OWN, ("budget.stepz", "'steps'"), extra="[budget]\nstepz = 3\n"),
    "scenario-key": Wrong(OWN, ("scenarios.0.soruces", "'sources'"), extra='soruces = ["google"]\n'),
    "type": Wrong(OWN, ("own.toml", "'image_size'", "'big'"), {"image_size": '"big"'}),
    "range": Wrong(OWN, ("image_size = 4", "8 to 1024 px"), {"image_size": "4"}),
    "shots": Wrong(OWN, ("scenarios.0.shots", "-1"), {"shots": "[-1]"}),
    "kind": Wrong(OWN, ("scenarios.0.kind", "cross-domain", "'crossdomain'"), {"kind": '"crossdomain"'}),
    "evaluations": Wrong(
        OWN, ("budget", "9 evaluations", "4 steps"), extra="[budget]\nsteps = 8\nevaluations = 9\n"
    ),
    "toml": Wrong(OWN, ("cannot read", "own.toml"), {"methods": "[linear-probe"}),
    "missing-key": Wrong(OWN, ("'backbones'", "required"), {"backbones": "# none"}),
    "empty-matrix": Wrong(OWN, ("no cell",), {"targets": '["google"]'}),
    "classes": Wrong(OWN, ("classes = 99", "55"), {"classes": "99"}),
    "class": Wrong(OWN, ("'animal-mamal'", "'animal-mammal'"), {"classes": '["animal-mamal", "sound"]'}),
    "one-class": Wrong(OWN, ("two",), {"classes": '["sound", "sound"]'}),
    "dataset": Wrong(OWN, ("unknown dataset 'emoji-hom'", "'emoji-home'"), {"dataset": '"emoji-hom"'}),
    "domain-in-file": Wrong(OWN, ("'gogle'", "'google'"), {"sources": '["gogle"]'}),
    "baseline": Wrong(OWN, ("linear-prob", "'linear-probe'"), {"baseline": '"linear-prob"'}),
    "source-list": Wrong((*RUN, "--source", "google,gogle"), ("'gogle'", "'google'")),
    "source-repeated": Wrong((*RUN, "--source", "google", "--source", "aple"), ("'aple'", "'apple'")),
    "source-empty": Wrong((*RUN, "--source", " , "), ("--source names nothing",)),
    "target-list": Wrong((*RUN, "--target", "twitter,windos"), ("'windos'", "'windows'")),
    "same-domain-repeated": Wrong(
        (*RUN, "--source", "google", "--target", "google", "--target", "google"), ("two domains",)
    ),
    "no-source-to-choose": Wrong(
        (*OWN, "--source", "google"),
        ("no scenario with a source",),
        {"kind": '"cross-task"', "sources": '"all"'},
    ),
    "shots-negative": Wrong((*RUN, "--shots", "-1"), ("--shots", "'-1'", "0,5,all")),
    "shots-word": Wrong((*RUN, "--shots", "5,few"), ("--shots", "'few'")),
    "shots-fraction": Wrong((*RUN, "--shots", "1.5"), ("--shots", "'1.5'")),
    "shots-empty": Wrong((*RUN, "--shots", ","), ("--shots names nothing",)),
    "shots-huge": Wrong((*RUN, "--shots", "9" * 400), ("--shots takes whole numbers",)),
    "shots-of-no-kind": Wrong(
        (*OWN, "--shots", "0"),
        ("--shots 0", "0 shots say nothing"),
        {"kind": '"cross-task"', "sources": '"all"'},
    ),
    "shots-of-episodes": Wrong(
        (*OWN, "--shots", "all"), ("--shots all", "episodes"), extra="episodes = { way = 2 }\n"
    ),
    "shots-the-data-cannot-give": Wrong(
        (*OWN, "--shots", "999"),
        ("no cell can be run", "999 shots of emoji-home/twitter", "smallest class", "training images"),
    ),
    "shots-in-the-file-the-data-cannot-give": Wrong(OWN, ("999 shots", "smallest"), {"shots": "[999]"}),
    "episodes-the-data-cannot-give": Wrong(
        OWN, ("no cell can be run", "queries"), extra="episodes = { way = 2, queries = 900 }\n"
    ),
    "steps-none": Wrong((*RUN, "--steps", "0"), ("--steps", "0", "x>=1")),
    "steps-negative": Wrong((*RUN, "--steps", "-3"), ("--steps", "x>=1")),
    "steps-word": Wrong((*RUN, "--steps", "many"), ("--steps", "'many'")),
    "steps-too-few": Wrong(
        (*OWN, "--steps", "2"), ("4 evaluations do not fit", "1 steps", "8 steps of the source stage")
    ),
    "image-size-small": Wrong((*RUN, "--image-size", "7"), ("image_size = 7", "images are of 8 to 1024 px")),
    "image-size-large": Wrong(
        (*RUN, "--image-size", "4096"), ("image_size = 4096", "images are of 8 to 1024 px")
    ),
    "image-size-of-a-ranking": Wrong(
        ("rank-backbones", "--dataset", "emoji-home", "--target", "apple", "--image-size", "4096"),
        ("image_size = 4096", "images are of 8 to 1024 px"),
    ),
    "image-size-none": Wrong((*RUN, "--image-size", "0"), ("--image-size", "1<=x<=10000")),
    "image-size-word": Wrong((*RUN, "--image-size", "big"), ("--image-size", "'big'")),
    "backbone-list": Wrong(
        (*RUN, "--plan", "--backbone", "resnet18.untrained,restnet18"), ("'restnet18'", "'resnet18'")
    ),
    "seeds-huge": Wrong((*RUN, "--seeds", "9" * 5000), ("--seeds takes whole numbers",)),
    "nodes-huge": Wrong((*RUN, "--plan", "--simulate", f"nodes={'9' * 5000}"), ("--simulate takes nodes=N",)),
    "data-missing": Wrong(("run", "--data", "nowhere"), ("--data: there is no 'nowhere'",)),
    "too-many-cells": Wrong(
        OWN,
        ("1,998,000 cells", "1,000,000"),
        {"seeds": str([*range(1000)]), "shots": str([*range(1, 1000)])},
    ),
    "tune-no-suite": Wrong(("tune", "--method", "dann"), ("--suite NAME", "--data FOLDER")),
    "tune-method": Wrong(("tune", "--suite", "smoke", "--method", "dannn"), ("'dannn'", "'dann'")),
    "tune-source": Wrong(
        ("tune", "--suite", "smoke", "--method", "dann", "--source", "gogle"), ("'gogle'", "'google'")
    ),
    "tune-shots": Wrong(("tune", "--suite", "smoke", "--method", "dann", "--shots", "x"), ("--shots", "'x'")),
    "tune-backbone": Wrong(
        ("tune", "--suite", "smoke", "--method", "dann", "--backbone", "restnet18"), ("unknown backbone",)
    ),
    "recommend-no-suite": Wrong(("recommend",), ("--suite NAME", "--data FOLDER")),
    "recommend-shots": Wrong(
        ("recommend", "--suite", "smoke", "--shots", "2,77"), ("no cells with 77 shots",)
    ),
    "recommend-budget": Wrong(("recommend", "--suite", "smoke", "--budget", "0"), ("--budget",)),
    "recommend-budget-nan": Wrong(("recommend", "--suite", "smoke", "--budget", "nan"), ("--budget",)),
    "recommend-simulate-suite": Wrong(
        ("recommend", "--simulate", "smoke", "--suite", "smoke"), ("--simulate", "--budget alone")
    ),
    "recommend-simulate": Wrong(
        ("recommend", "--simulate", "emoji-hom"), ("no results folder and no baseline 'emoji-hom'",)
    ),
    "recommend-steps": Wrong(("recommend", "--suite", "smoke", "--steps", "0"), ("--steps",)),
    "recommend-target": Wrong(("recommend", "--suite", "smoke", "--target", "twiter"), ("'twitter'",)),
    "check-search-no-suite": Wrong(("check-search",), ("--suite NAME", "--data FOLDER")),
    "check-search-source": Wrong(("check-search", "--suite", "smoke", "--source", "gogle"), ("'google'",)),
    "rank-no-images": Wrong(("rank-backbones", "--target", "twitter"), ("--suite NAME", "--data FOLDER")),
    "rank-no-target": Wrong(("rank-backbones", "--suite", "smoke"), ("--target", "twitter")),
    "rank-both": Wrong(
        ("rank-backbones", "--suite", "smoke", "--dataset", "emoji-home", "--target", "twitter"),
        ("--dataset and --suite",),
    ),
    "rank-target-list": Wrong(
        ("rank-backbones", "--dataset", "emoji-home", "--target", "twitter,aple"), ("'aple'", "'apple'")
    ),
    "image-size-of-a-network": Wrong(
        (*OWN, "--image-size", "33", "--backbone", "levit_128s.untrained"),
        ("'levit_128s.untrained' cannot take images of 33 px", "made for 224 px"),
    ),
    "steps-huge": Wrong((*RUN, "--plan", "--steps", str(10**12)), ("'budget.steps'", "10000000")),
    "steps-huge-in-file": Wrong(
        (*OWN, "--plan"), ("'budget.steps'", "10000000"), extra=f"[budget]\nsteps = {10**12}\n"
    ),
    "steps-huge-to-tune": Wrong(
        ("tune", "--suite", "smoke", "--method", "dann", "--steps", str(10**12)), ("'budget.steps'",)
    ),
    "shots-many": Wrong((*RUN, "--plan", "--shots", str(10**7)), ("--shots 10000000", "1000000")),
    "set-huge": Wrong((*RUN, "--plan", "--set", f"dann.hidden={10**30}"), ("--set dann.hidden", "64 bits")),
    "set-digits": Wrong((*RUN, "--plan", "--set", f"dann.hidden={'9' * 5000}"), ("--set dann.hidden",)),
    "set-huge-in-file": Wrong(
        (*OWN, "--plan"), ("own.toml", "64 bits"), extra=f"[set.dann]\nhidden = {10**30}\n"
    ),
    "timeout-nan": Wrong((*RUN, "--timeout", "nan"), ("--timeout", "is not a number")),
    "timeout-infinite": Wrong((*RUN, "--timeout", "inf"), ("--timeout", "100000000")),
    "trials-huge": Wrong(
        ("tune", "--suite", "smoke", "--method", "dann", "--trials", str(10**12)), ("--trials", "10000")
    ),
    "draws-huge": Wrong(("check-search", "--suite", "smoke", "--draws", str(10**12)), ("--draws", "1000")),
    "seconds-nan": Wrong(("recommend", "--suite", "smoke", "--max-seconds", "nan"), ("--max-seconds",)),
    "report-out": Wrong(("report", "--out", "suite.toml"), ("ends in .html or .md",)),
    "report-suite": Wrong(("report", "--suite", "smok"), ("nothing in 'results'",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = WRONG[name]
    monkeypatch.chdir(tmp_path)
    file = suite_file(tmp_path, wrong.extra, **wrong.file)
    if "backbones" in wrong.file:
        Path(file).write_text(Path(file).read_text().replace("backbones = # none\n", ""))
    arguments = [argument.replace("FILE", file) for argument in wrong.arguments]
    code, _, err = call(monkeypatch, capsys, *arguments)
    lines = err.splitlines()
    assert code == 2, err
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 600
    for text in wrong.expected:
        assert text in lines[0]
    assert not list(tmp_path.glob("results/*/records/??")), "nothing was run"
    assert {path.name for path in tmp_path.iterdir()} == {"own.toml"}, "nothing is left behind"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(monkeypatch, capsys, *RUN, "--device", "cuda")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: no device 'cuda' on this machine: choose from auto, cpu")


def test_unwritable_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "cache"))
    code, _, err = call(monkeypatch, capsys, *RUN, "--methods", "linear-probe")
    assert (code, err.count("\n")) == (2, 1), err
    assert "BENCH_CACHE" in err


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users as Unix has them")
@pytest.mark.parametrize("inside", ["", "records"])
def test_what_may_not_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, inside: str
) -> None:
    """Wherever it is met: a system may refuse any file, with any number."""
    results = tmp_path / "results"
    results.mkdir()
    assert call(monkeypatch, capsys, "results", "verify", str(results))[0] == 2, "and all is imported"
    results.chmod(0)
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)
        code, _, err = call(monkeypatch, capsys, "results", "verify", str(results / inside))
    finally:
        os.seteuid(user)
        results.chmod(0o755)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("error: Permission denied ('")


BOUNDED_ELSEWHERE = {
    "steps": "by the suite, which is checked with it",
    "version": "by the versions that there are",
    "max_accuracy_drop": "by the gate, which is checked with it",
    "max_slowdown": "by the gate, which is checked with it",
}


def test_numbers_of_options_are_bounded() -> None:
    """No number is so large that it is accepted and can never be done."""
    waiting: list[click.Command] = [cli]
    found = {}
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else []
        for parameter in command.params:
            if isinstance(parameter.type, click.types._NumberParamTypeBase):
                ends = [getattr(parameter.type, end, None) for end in ("min", "max")]
                found[parameter.name] = None not in ends
    assert {name for name, bounded in found.items() if not bounded} == {*BOUNDED_ELSEWHERE}
    assert {"timeout", "trials", "draws", "workers", "max_seconds"} < {*found}


def test_wrong_request_from_outside(tmp_path: Path) -> None:
    process = bench("run", "--suite", "quik", cwd=tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    assert re.fullmatch(r"error: unknown suite 'quik': did you mean 'quick'[^\n?]*\?\n", process.stderr)


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """`bench run --plan | head -1` ends without a traceback."""
    seeds = ",".join(map(str, range(400)))
    shell = f'"{sys.executable}" -m bench run --suite smoke --plan --seeds {seeds} | head -1'
    env_path = {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        ["sh", "-c", shell],
        cwd=tmp_path,
        env={**os.environ, **env_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(process.stdout.splitlines()) == 1
    assert process.stderr == ""
