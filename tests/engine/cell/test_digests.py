"""All that decides a number is in a cell's key or in a digest, and nothing else; what is stale runs again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench.core.digest import LIBRARIES, libraries_of
from bench.core.errors import CellFailed
from bench.data.card import SILENT, Card, SplitSpec
from bench.data.catalog import load_card
from bench.data.corruptions.domains import Corrupted
from bench.data.dataset import Dataset, silent
from bench.engine.cell.digests import check_dataset, present_digests, with_own_weights
from bench.engine.cell.env import CellEnv
from bench.engine.cell.execution import CellExecution
from bench.engine.cell.features import DomainInputs
from bench.engine.cell.runner import Context, run_cell
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import CostTracker
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.weights import PACKAGED, Packaged, weights_digest
from bench.networks.split import POOLED
from bench.records.record import Digests
from bench.spec.cell import Setting
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite
from tests.support.cells import TINY, WHERE, digests, tiny_cell
from tests.support.checkout import bench, python

NET = "test_efficientnet.r160_in1k"
"""Tiny network that has weights on the hub."""

CARD_CHANGES: dict[str, Any] = {
    "name": "other",
    "title": "Other",
    "description": "In other words.",
    "notes": ("another",),
    "homepage": "https://other.example",
    "licence": "CC0",
    "citation": "Nobody 1900",
    "credits": {"google": "somebody"},
    "anchors": "other.toml",
    "domains": ["twitter", "google"],
    "corrupted": [Corrupted(of="google", kinds=["fog"])],
    "default_domains": ["google"],
    "classes": ["b", "a"],
    "modality": "text",
    "metric": "auc",
    "columns": ["age"],
    "fit": "crop",
    "split": SplitSpec(seed=7, test=0.25, validation=0.15),
    "task_seed": 9,
    "expected": None,
    "sources": [],
}
"""Another value of every field of a card."""


def test_fields_of_a_card_that_decide_numbers() -> None:
    card = load_card("emoji-home")
    assert CARD_CHANGES.keys() == Card.model_fields.keys()
    for name, value in CARD_CHANGES.items():
        changed = card.model_copy(update={name: value})
        assert (changed.digest == card.digest) == (name in SILENT), name
    split = card.split.model_copy(update={"test": 0.3})
    assert card.model_copy(update={"split": split}).digest != card.digest


SUITE: dict[str, Any] = {
    "name": "s",
    "description": "d",
    "dataset": "emoji-home",
    "domains": ["google", "twitter"],
    "classes": 4,
    "image_size": 32,
    "backbones": [TINY],
    "methods": ["linear-probe"],
    "scenarios": [{"kind": "cross-domain", "shots": [1]}],
}
NUMBERS: dict[str, Any] = {
    "domains": ["google", "apple"],
    "classes": 5,
    "image_size": 48,
    "augment": "none",
    "precision": "bf16",
    "transductive": True,
    "unsplit": True,
    "headline": "oracle",
    "recipe": {"schedule": "inverse"},
    "backbones": ["resnet18.untrained"],
    "methods": ["full-finetune"],
    "seeds": [1],
    "budget": {"steps": 20},
    "steps": [20, 40],
    "settings": {"threads": [2]},
    "scenarios": [{"kind": "cross-domain", "shots": [2]}],
    "set": {"linear-probe": {"learning_rate": 0.1}},
}
READERS: dict[str, Any] = {
    "preset": "paper",  # What it stands for is in `set` when cells are planned.
    "name": "t",
    "description": "in other words",
    "baseline": "full-finetune",
    "controls": True,  # Which cells there are beside these.
    "gate": {"max_accuracy_drop": 2.0},
    "executor": {"workers": 2},
}


def test_fields_of_a_suite_that_decide_numbers() -> None:
    card = load_card("emoji-home")

    def keys(**changes: Any) -> set[str]:
        return {cell.key for cell in plan(Suite(**{**SUITE, **changes}), card)}

    assert NUMBERS.keys() | READERS.keys() | {"dataset"} == Suite.model_fields.keys()
    fits = {"unsplit": {"transductive": True, "scenarios": [{"kind": "cross-domain", "shots": [0]}]}}
    for name, value in NUMBERS.items():
        with_it = fits.get(name, {})
        assert keys(**{name: value}, **with_it) != keys(**with_it), name
    for name, value in READERS.items():
        assert keys(**{name: value}) == keys(), name


CHANGES: dict[str, Any] = {
    "method": "other",
    "engine": "other",
    "dataset": "other",
    "card": "other",
    "weights": ((TINY, "other"),),
    "libraries": "torch 1.0",
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_digest_is_in_every_name(field: str, emoji: Dataset, tmp_path: Path) -> None:
    """Records are stale; features, source stages and checkpoints of other digests are not found."""
    assert CHANGES.keys() == Digests.model_fields.keys()
    today = digests("linear-probe").model_copy(update={"weights": ((TINY, "those"),)})
    other = today.model_copy(update={field: CHANGES[field]})
    assert other.outdated(today)
    assert not today.outdated(today)

    def names(found: Digests) -> tuple[set[Path], Path | None]:
        cost = CostTracker(torch.device("cpu"))
        env = CellEnv(tiny_cell("linear-probe"), Setting(), found, Artifacts(tmp_path), cost, silent)
        DomainInputs(env, emoji).get("twitter", create_backbone(TINY), POOLED, 0)
        checkpoint = CellExecution(env, tmp_path).checkpoints.of("source")._path
        return {*(tmp_path / "features").glob("*.safetensors")}, checkpoint

    (before, checkpoint), (after, another) = names(today), names(other)
    assert names(today)[0] == after, "what is the same is found"
    # Features of a frozen network do not depend on the method's code.
    assert len(after) - len(before) == (field != "method")
    assert another != checkpoint


def test_what_changed_since_a_run_began_is_refused(emoji: Dataset) -> None:
    today = digests("linear-probe")
    check_dataset(emoji.card, emoji, today)
    for field, what in (("card", "card"), ("dataset", "images")):
        with pytest.raises(CellFailed, match=f"the {what} of 'emoji-home' changed since this run began"):
            check_dataset(emoji.card, emoji, today.model_copy(update={field: "other"}))


CODE = {
    "method": "code of 'linear-probe'",
    "engine": "code of the engine",
    "libraries": "versions of the libraries",
}


@pytest.mark.parametrize("field", CODE)
def test_code_that_changed_since_a_run_began_is_refused(field: str, tmp_path: Path) -> None:
    """A worker that starts late loads what the files say by then, which is not what the record would say."""
    began = digests("linear-probe").model_copy(update={field: "other"})
    context = Context("tests", Setting(), WHERE, Artifacts(tmp_path))
    record, predictions = run_cell(tiny_cell("linear-probe"), context, began, silent)
    assert record.outcome.status == "failed"
    assert record.outcome.reason == f"the {CODE[field]} changed since this run began: run it again"
    for later in (began, digests("linear-probe")):
        assert record.digests.outdated(later), "the next run tries it again, whichever code it finds"
    assert not predictions


def test_another_file_of_weights_is_noticed(emoji: Dataset, tmp_path: Path, monkeypatch: Any) -> None:
    name = "tf_efficientnet_lite0"
    monkeypatch.setitem(PACKAGED, name, Packaged("weights_of_mine", "*.pth"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "weights_of_mine").mkdir()
    assert weights_digest(name) is None
    file = tmp_path / "weights_of_mine" / "a.pth"
    file.write_bytes(b"one")
    began = present_digests(emoji, "m", [name, TINY])
    assert [backbone for backbone, _ in began.weights] == [name], "random ones are in the key"
    cell = tiny_cell(backbone=name)
    assert with_own_weights(began, cell) == began
    assert with_own_weights(began, tiny_cell()).weights == ()
    file.write_bytes(b"two")
    assert began.outdated(present_digests(emoji, "m", [name]))
    with pytest.raises(CellFailed, match="the weights of 'tf_efficientnet_lite0' have changed"):
        with_own_weights(began, cell)
    file.unlink()
    assert not began.outdated(present_digests(emoji, "m", [name])), "of weights that are not here"


def test_versions_of_libraries_are_known_without_importing_them(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.core.digest import library_versions as v; print(v(), 'torch' in sys.modules)"
    )
    before = python("-c", code, cwd=tmp_path).stdout.split(", ")
    assert [text.split()[0] for text in before] == ["numpy", "pillow", "timm", "torch", "torchvision"]
    assert "+" not in " ".join(before)
    info = tmp_path / "site" / "timm-99.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: timm\nVersion: 99.1+cpu\n")
    root = str(Path(__file__).parents[3])
    after = python("-c", code, cwd=tmp_path, PYTHONPATH=f"{tmp_path / 'site'}:{root}").stdout.split(", ")
    assert after == [*before[:2], "timm 99.1", *before[3:]]


def test_releases_of_what_a_method_imports_are_in_its_digest(tmp_path: Path) -> None:
    """Trees of another scikit-learn are other trees; a probe has none, and its digest stays."""
    code = (
        "from bench.method.registry import method_code, method_digest, method_packages\n"
        "for name in ('boosted-trees', 'jdot', 'linear-probe'):\n"
        "    print(*method_packages(name), method_code(name), method_digest(name))"
    )
    before = [line.split() for line in python("-c", code, cwd=tmp_path).stdout.splitlines()]
    assert [line[:-2] for line in before] == [["scikit-learn"], ["POT"], []]
    assert [line[-1] == line[-2] for line in before] == [False, False, True]
    info = tmp_path / "site" / "scikit_learn-99.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 99.1\n")
    root = str(Path(__file__).parents[3])
    found = python("-c", code, cwd=tmp_path, PYTHONPATH=f"{tmp_path / 'site'}:{root}").stdout
    after = [line.split() for line in found.splitlines()]
    assert [new == old for new, old in zip(after, before, strict=True)] == [False, True, True]
    assert after[0][:-1] == before[0][:-1], "its code is what it was"


def test_what_decodes_recordings_is_among_the_libraries(emoji: Dataset) -> None:
    recordings = replace(emoji, card=emoji.card.model_copy(update={"modality": "audio"}))
    names = libraries_of(present_digests(recordings, "m", []).libraries or "")
    assert {"scipy", "soundfile"} <= {*names}
    assert libraries_of(present_digests(emoji, "m", []).libraries or "") == list(LIBRARIES)


FILE = f"""
description = "weights of the hub"
dataset = "emoji-home"
domains = ["twitter"]
classes = 3
image_size = 32
backbones = ["{NET}"]
methods = ["linear-probe"]

[[scenarios]]
kind = "pretrained"
shots = [1]
"""


def put_weights(hub: Path, seed: int) -> None:
    """Leave in the hub's cache what a download of the network's weights leaves there."""
    folder = hub / f"models--timm--{NET}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    torch.manual_seed(seed)
    state = timm.create_model("test_efficientnet").state_dict()
    save_file(state, folder / "snapshots" / "abc" / "model.safetensors")


def test_other_weights_under_the_same_name_run_again(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text(FILE)
    hub = tmp_path / "hub"

    def run() -> tuple[str, dict[str, Any]]:
        around = {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "BENCH_CACHE": str(tmp_path / "cache")}
        process = bench("run", "--suite", "hub.toml", "--results", "r", cwd=tmp_path, **around)
        assert process.returncode == 0, process.stderr
        (file,) = (tmp_path / "r").glob("records/??/*.json")
        record: dict[str, Any] = json.loads(file.read_text())
        return process.stdout, record

    put_weights(hub, 0)
    _, first = run()
    assert [name for name, _ in first["digests"]["weights"]] == [NET]
    said, _ = run()
    assert "1 recorded, 0 to run" in said
    put_weights(hub, 1)
    said, second = run()
    assert "1 stale (other weights; run again), 1 to run" in said
    assert second["digests"]["weights"] != first["digests"]["weights"]
    assert second["predictions_sha256"] != first["predictions_sha256"], (
        "features of the old ones are not used"
    )
