"""Records with known accuracies, written by the real store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bench.records.record import (
    Cost,
    Digests,
    Environment,
    Evaluation,
    Outcome,
    Predictions,
    Record,
    Request,
    StageCost,
)
from bench.records.selection import select
from bench.records.store import Store
from bench.spec.cell import Budget, Cell, Domains, Scenario, Setting

CLASSES = tuple(f"class {number}" for number in range(4))
IMAGES = 40
"""Test images of each cell, in groups of two."""


def cell(
    method: str = "linear-probe",
    source: Domains | None = "photo",
    target: str = "sketch",
    shots: Any = 5,
    seed: int = 0,
    **changes: Any,
) -> Cell:
    """A cell; kind `pretrained` where there is no source."""
    scenario = Scenario(
        kind="cross-domain" if source else "pretrained",
        dataset="toys",
        source=source,
        source_classes=CLASSES if source else (),
        target=target,
        target_classes=CLASSES,
        shots=shots,
    )
    known: dict[str, Any] = {
        "backbone": "tiny",
        "image_size": 32,
        "augment": "none",
        "budget": Budget(steps=40, batch_size=8, evaluations=2),
    }
    return Cell(scenario=scenario, method=method, seed=seed, **(known | changes))


def logits(right: Iterable[int], images: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Logits float16 (images, 4) right at these positions only, and labels int16 (images,)."""
    labels = (np.arange(images) % len(CLASSES)).astype(np.int16)
    named = (labels + 1) % len(CLASSES)
    positions = list(right)
    named[positions] = labels[positions]
    return np.eye(len(CLASSES), dtype=np.float16)[named], labels


def predictions(by_evaluation: Mapping[int, Iterable[int]], images: int = IMAGES) -> Predictions:
    """Stored arrays where evaluation i is right at the positions `by_evaluation[i]`."""
    arrays: Predictions = {}
    for place, right in by_evaluation.items():
        arrays[f"look{place}/target-test/logits"], labels = logits(right, images)
        arrays["target-test/labels"] = labels
    arrays["target-test/groups"] = (np.arange(images) // 2).astype(np.int32)
    arrays["target-test/items"] = np.arange(images, dtype=np.int32)
    return arrays


def record(asked: Cell, status: Any = "done", reason: str = "", log: str = "", **changes: Any) -> Record:
    """A record; a done one has two evaluations, of which `source-val` and `oracle` select the first."""
    stage: Any = "source" if asked.scenario.shots == 0 else "target"
    source = asked.scenario.source is not None
    evaluations = tuple(
        Evaluation(
            stage=stage,
            step=step,
            train_loss=1.0 / step,
            accuracy={
                **({"source-validation": source_accuracy} if source else {}),
                "target-validation": target_accuracy,
                "target-test": target_accuracy,
            },
        )
        for step, source_accuracy, target_accuracy in ((10, 0.9, 0.6), (20, 0.8, 0.5))
    )
    evaluations = evaluations if status == "done" else ()
    known: dict[str, Any] = {
        "key": asked.key,
        "created": "2024-05-01T12:00:00+00:00",
        "request": Request(cell=asked, setting=Setting(), suite="toy-suite"),
        "outcome": Outcome(status=status, reason=reason, log=log),
        "digests": Digests(method=f"m-{len(asked.method)}", engine="e-1", dataset="d-1"),
        "environment": Environment(
            python="3.11.2", packages={"torch": "2.9", "numpy": "2.1"}, platform="Linux", cpu="toy cpu"
        ),
        "adapts": asked.method.startswith("dann"),
        "evaluations": evaluations,
        "selected": select(evaluations),
    }
    if status == "done":
        known["cost"] = Cost(
            seconds={"data": 1.0},
            shared_seconds={"features": 6.0},
            stages={"target": StageCost(seconds=3.0)},
            parameters=1000,
            parameters_trained=10,
            peak_memory_bytes=2**21,
        )
    return Record(**(known | changes))


def stages(streams: Mapping[str, int]) -> dict[str, StageCost]:
    """Costs of stages that trained on so many items by `<stage>/<stream>`, in a second each."""
    items: dict[str, dict[str, int]] = {}
    for stream, count in streams.items():
        stage, name = stream.split("/")
        items.setdefault(stage, {})[name] = count
    return {stage: StageCost(seconds=1.0, items=counts) for stage, counts in items.items()}


def write(store: Store, asked: Cell, right: int, first: int | None = None, **changes: Any) -> Record:
    """Store a done cell whose last evaluation is right on the first `right` images, its first on `first`."""
    arrays = predictions({0: range(right if first is None else first), 1: range(right)})
    return store.write(record(asked, **changes), arrays)


def fill(
    store: Store,
    rights: Mapping[str, int],
    pairs: Iterable[tuple[str | None, str]] = (("photo", "sketch"), ("sketch", "photo")),
    shots: Iterable[Any] = (0, 5),
    seeds: Iterable[int] = (0,),
) -> None:
    """A done cell for every combination; method m is right on `rights[m]` images of `IMAGES`."""
    for method, right in rights.items():
        for source, target in pairs:
            for shot in shots:
                for seed in seeds:
                    if source is not None or shot != 0:
                        write(store, cell(method, source, target, shot, seed), right)
