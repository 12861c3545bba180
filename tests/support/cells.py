"""Tiny cells and ways to run them in this process. Imports torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.errors import CellSkipped
from bench.core.modalities import MODALITIES
from bench.core.paths import cache_root, data_roots
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset, silent
from bench.engine.cell.digests import present_digests
from bench.engine.cell.env import CellEnv
from bench.engine.cell.environment import where
from bench.engine.cell.execution import CellExecution
from bench.engine.cell.runner import Context, run_cell
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import CostTracker
from bench.method.batch import Access
from bench.method.registry import configure, load_method, method_digest
from bench.method.requirements import check_capability
from bench.records.record import Digests, Predictions, Record
from bench.spec.cell import Budget, Cell, Domains, Scenario, Setting

TINY = "test_efficientnet.untrained"
NORMLESS = "test_efficientnet_ln.untrained"
"""The tiny network with layer norm in place of batch norm."""
CLASSES = tuple(load_card("emoji-home").classes[:4])
WHERE = where(torch.device("cpu"))


def tiny_cell(method: str = "full-finetune", source: Domains | None = "google", **changes: Any) -> Cell:
    """google -> twitter, four classes of 32 px, a few steps of the tiny network."""
    shots = changes.pop("shots", 2)
    kind = changes.pop("kind", "cross-domain" if source else "pretrained")
    old, new = (CLASSES[:2], CLASSES[2:]) if kind == "cross-domain-task" else (CLASSES, CLASSES)
    episodes = changes.pop("episodes", None)
    absent, unknown = changes.pop("absent", ()), changes.pop("unknown", ())
    scenario = Scenario(
        kind=kind,
        dataset="emoji-home",
        source=source,
        source_classes=old if source else (),
        target="twitter",
        target_classes=new,
        shots=shots,
        absent=absent,
        unknown=unknown,
        episodes=episodes,
    )
    known: dict[str, Any] = {
        "backbone": TINY,
        "image_size": 32,
        "augment": "crop-flip",
        "budget": Budget(steps=6, batch_size=16, evaluations=2),
        "seed": 3,
    }
    return Cell(scenario=scenario, method=method, **{**known, **changes})


def usual_shots(method: str) -> int:
    """Two per class, or none for a method that adapts without labels or makes no use of the target's."""
    kind = load_method(method)
    return 0 if kind.adapts or Access.TARGET_LABELS not in kind.access else 2


def refusal(cell: Cell) -> str:
    """Why the method is not for this scenario, on any network and any items; empty where it is."""
    try:
        check_capability(
            cell.method,
            configure(cell.method, cell.overrides),
            cell.scenario,
            MODALITIES[cell.modality].items,
        )
    except CellSkipped as reason:
        return str(reason)
    return ""


def digests(method: str, dataset_name: str = "emoji-home") -> Digests:
    card = load_card(dataset_name)
    dataset = _opened(card.model_dump_json(), card.name, cache_root(), tuple(data_roots()))
    return present_digests(dataset, method_digest(method), [TINY])


@cache
def _opened(content: str, name: str, *where: object) -> Dataset:
    """Opened once: that takes as long as a tiny cell does."""
    return open_dataset(load_card(name))


def answer(cell: Cell, artifacts: Path) -> tuple[Record, Predictions]:
    """The record and predictions of a cell, with this folder of shared artifacts."""
    context = Context("tests", Setting(), WHERE, Artifacts(artifacts))
    return run_cell(cell, context, digests(cell.method), silent)


def steps_of(cell: Cell, artifacts: Path) -> CellExecution:
    """The same cell taken apart, before it runs."""
    cost_tracker = CostTracker(torch.device("cpu"))
    found = digests(cell.method, cell.scenario.dataset)
    env = CellEnv(cell, Setting(), found, Artifacts(artifacts), cost_tracker, silent)
    return CellExecution(env)


def assert_answered(cell: Cell, artifacts: Path, lacking: str | None) -> None:
    """Two classes told apart in full, or skipped in a line with `lacking`, or since it is refused."""
    run = steps_of(cell, artifacts)
    try:
        predictions = run.run()
    except CellSkipped as skipped:
        reason = str(skipped)
        assert "\n" not in reason
        assert reason == refusal(cell) or (lacking or "-") in reason, reason
        return
    assert lacking is None
    assert not refusal(cell)
    labels = predictions["target-test/labels"]
    assert {0, 1} == set(labels.tolist())
    logits = predictions[f"look{run.selected['last']}/target-test/logits"]
    assert logits.shape == (len(labels), 2)
    assert np.isfinite(logits).all()
    assert run.evaluations


class Interruption(Exception):
    """Stands for an interruption."""


def interrupt(what: str, done: int, total: int) -> None:
    """Progress that is interrupted in the midst of the source stage."""
    if what == "source stage" and done == 4:
        raise Interruption


def assert_equal(a: Predictions, b: Predictions) -> None:
    """The same arrays, bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
