"""Artifacts that a matrix shares and the time that this saves, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from bench.commands.experiments.cost_model import (
    CostModel,
    MethodTraits,
    cheapest_first,
    count_artifacts,
    effort,
)
from bench.data.catalog import load_card
from bench.method.registry import method_costs
from bench.records.record import Cost, Digests, Environment, Outcome, Record, Request, StageCost
from bench.spec.cell import Cell, Setting
from bench.spec.matrix.plan import plan
from tests.support.suites import emoji_suite

FROZEN = MethodTraits(split_point="top")


def traits_of(name: str) -> MethodTraits:
    return FROZEN


def cells(**changes: Any) -> list[Cell]:
    """6 ordered pairs of three domains at 2 shots, and kind pretrained at one, for 2 seeds."""
    tables = [{"kind": "cross-domain", "shots": [0, 5]}, {"kind": "pretrained", "shots": [5]}]
    return plan(emoji_suite(**{"seeds": [0, 1], "scenarios": tables, **changes}), load_card("emoji-home"))


@pytest.mark.parametrize(
    ("method", "features", "views", "stages"),
    [
        # A blind source stage: one per source and seed. Features: of each domain once, whatever the seed.
        (FROZEN, (6 * 2 * 2 * 2 + 3 * 2, 3), (0, 0), (6 * 2 * 2, 3 * 2)),
        # A source stage that sees the target: one per pair and seed, whatever the shots.
        (replace(FROZEN, sees_target=True), (54, 3), (0, 0), (24, 6 * 2)),
        # Views are drawn anew for each seed: of the source, and where there are shots of the target.
        (replace(FROZEN, views=4), (54, 3), (6 * 2 * (1 + 2) + 3 * 2, 3 * 2), (24, 6)),
        # A loop in the source stage alone takes views of the source alone.
        (replace(FROZEN, views=4, trains=lambda stage: stage.shared), (54, 3), (6 * 2 * 2, 3 * 2), (24, 6)),
        # Random weights are drawn anew for each seed.
        (replace(FROZEN, pretrained=False), (54, 3 * 2), (0, 0), (24, 6)),
        # It sees images, or has no source stage.
        (replace(FROZEN, split_point=None, views=4), (0, 0), (0, 0), (24, 6)),
        (replace(FROZEN, has_source_stage=False), (54, 3), (0, 0), (0, 0)),
        (replace(FROZEN, has_source_stage=False, views=4), (54, 3), (6 * 2 + 3 * 2, 3 * 2), (0, 0)),
    ],
)
def test_what_is_shared(
    method: MethodTraits, features: tuple[int, int], views: tuple[int, int], stages: tuple[int, int]
) -> None:
    matrix = cells()
    assert len(matrix) == (6 * 2 + 3) * 2
    found = count_artifacts(matrix, lambda name: method)
    assert found == {"features": features, "views": views, "stages": stages}


def record(cell: Cell, seconds: dict[str, float], shared: dict[str, float]) -> Record:
    """Record of a cell; `source` among the seconds is its source stage, the others are phases."""
    return Record(
        key=cell.key,
        created="",
        request=Request(cell=cell, setting=Setting(), suite="mine"),
        outcome=Outcome(status="done"),
        digests=Digests(method="", engine="", dataset=""),
        environment=Environment(
            python="", packages={}, platform="", cpu="", accelerator=None, git_revision=None
        ),
        cost=Cost(
            seconds={phase: s for phase, s in seconds.items() if phase != "source"},
            shared_seconds={phase: s for phase, s in shared.items() if phase != "source"},
            stages={
                "source": StageCost(
                    seconds=seconds.get("source", 0.0), shared_seconds=shared.get("source", 0.0)
                )
            },
            parameters=1,
            parameters_trained=1,
            peak_memory_bytes=1,
        ),
        hyperparameters={},
        evaluations=(),
        selected={},
        details={},
    )


def test_estimate_by_hand() -> None:
    """Two pairs of one source, 0 shots: two cells, one source stage, three domains."""
    table = {"kind": "cross-domain", "sources": ["google"], "shots": [0]}
    one, two = matrix = cells(scenarios=[table], seeds=[0])
    # The first made all: 2 domains' features at 3 s each, a source stage of 10 s, and 1 s of its own.
    made = record(one, {"features": 6.0, "source": 10.0, "evaluate": 1.0}, {})
    found = CostModel.fit([made], traits_of).estimate(matrix)
    assert found is not None
    assert found.alone == pytest.approx(2 * (6 + 10 + 1))
    assert found.shared == pytest.approx(3 * 3 + 10 + 2 * 1)
    assert found.saving == pytest.approx(1 - 21 / 34)
    # A record of a cell that found all of it tells the same.
    reader = record(two, {"evaluate": 1.0}, {"features": 6.0, "source": 10.0})
    assert CostModel.fit([made, reader], traits_of).estimate(matrix) == replace(found, from_cells=2)


def test_methods_without_a_recorded_cost_are_named() -> None:
    table = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0]}
    probe, dann = cells(scenarios=[table], seeds=[0], methods=["linear-probe", "dann"])
    model = CostModel.fit([record(probe, {"evaluate": 2.0}, {})], traits_of)
    found = model.estimate([probe, dann])
    assert found is not None
    assert (found.shared, found.unknown) == (2.0, ("dann",))
    assert model.estimate([dann]) is None
    assert model.schedule([probe, dann], 2).makespan == 2.0


def test_another_network_is_other_work() -> None:
    """What one network took says nothing of another, and predictions leave out what artifacts took."""
    table = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0]}
    (small,) = cells(scenarios=[table], seeds=[0], methods=["linear-probe"])
    large, wide = (
        small.model_copy(update=change) for change in ({"backbone": "another"}, {"image_size": 224})
    )
    model = CostModel.fit([record(small, {"features": 6.0, "source": 10.0, "evaluate": 1.0}, {})], traits_of)
    found = model.estimate([small, large, wide])
    assert found is not None
    assert (found.alone, found.unknown) == (6.0 + 10.0 + 1.0, ("linear-probe",))
    assert [model.predict(cell) for cell in (small, large, wide)] == [1.0] * 3


def test_a_matrix_on_several_nodes() -> None:
    """The third domain's features are what the second node can make while the first is at work."""
    tables = [
        {"kind": "cross-domain", "sources": ["google"], "targets": ["apple", "twitter"], "shots": [0]},
    ]
    matrix = cells(scenarios=tables, seeds=[0])
    made = record(matrix[0], {"features": 6.0, "source": 10.0, "evaluate": 1.0}, {})
    model = CostModel.fit([made], traits_of)
    one, two = model.schedule(matrix, 1), model.schedule(matrix, 2)
    # google's and apple's features, the source stage, two cells; twitter's features.
    assert one.makespan == one.work == 3 + 3 + 10 + 1 + 3 + 1
    # The second waits for google's features, makes twitter's, and waits for the source stage.
    assert two.makespan == 3 + 3 + 10 + 1
    assert two.critical_path == 10 + 1


def in_order(methods: list[str], **changes: Any) -> list[Cell]:
    """Cells as they are executed, of google → twitter without labels unless said otherwise."""
    table = {"kind": "cross-domain", "sources": ["google"], "targets": ["twitter"], "shots": [0]}
    suite = emoji_suite(**{"methods": methods, "scenarios": [table], **changes})
    return cheapest_first(plan(suite, load_card("emoji-home")))


def test_cheap_methods_run_first() -> None:
    methods = ["dann", "full-finetune", "linear-probe", "partial-finetune"]
    assert [cell.method for cell in in_order(methods)] == [
        "linear-probe",
        "partial-finetune",
        "full-finetune",
        "dann",
    ]


def test_cells_of_one_source_stage_run_one_after_another() -> None:
    """`adabn` is cheap, but begins with full fine-tuning's source stage; `scratch` has one of its own."""
    found = in_order(
        ["adabn", "scratch", "full-finetune"],
        scenarios=[{"kind": "cross-domain", "targets": ["twitter"], "shots": [0, 5]}],
    )
    stages = [
        ("scratch" if cell.method == "scratch" else "full-finetune", cell.scenario.source) for cell in found
    ]
    assert len(found) == 12
    assert len(list(groupby(stages))) == len({*stages}) == 4


def test_a_network_and_a_seed_are_finished_before_the_next() -> None:
    found = in_order(["full-finetune", "linear-probe"], backbones=["b", "a"], seeds=[1, 0])
    assert [(cell.backbone, cell.seed, cell.method) for cell in found] == [
        (backbone, seed, method)
        for backbone in ("a", "b")
        for seed in (0, 1)
        for method in ("linear-probe", "full-finetune")
    ]


def test_the_work_of_a_cell_counted_by_hand() -> None:
    costs = method_costs()
    budget = {"steps": 100, "batch_size": 8, "evaluations": 1}
    methods = ["adabn", "full-finetune", "linear-probe"]
    adapted, tuned, probe = sorted(in_order(methods, budget=budget), key=lambda cell: cell.method)
    step = costs["full-finetune"].time
    assert effort(tuned, "full-finetune") == pytest.approx((100 + 50) * step), "half as many on the target"
    assert effort(adapted, "full-finetune") == pytest.approx(100 * step + costs["adabn"].time)
    assert effort(probe, "linear-probe") == 2 * costs["linear-probe"].time, "a fit a stage"
    unknown = tuned.model_copy(update={"method": "of-another-package"})
    assert effort(unknown, "of-another-package") == 150
