from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.cell import Budget, Cell
from bench.spec.matrix.plan import choose_classes, plan
from bench.spec.matrix.suite import Suite
from bench.spec.scenarios import stages
from bench.spec.stages import SharedStage, shared_stages
from tests.support.suites import emoji_suite

CARD = load_card("emoji-home")


def source_stage(cell: Cell, sees_target: bool) -> SharedStage | None:
    """The stage that cells share, as a method sees it that looks at the target or does not."""
    seen = [stage.restricted(unlabelled=sees_target, replay=False) for stage in stages(cell)]
    return next(iter(shared_stages(cell, seen)), None)


def suite(*scenarios: dict[str, Any], **changes: Any) -> Suite:
    return emoji_suite(**({"scenarios": scenarios} if scenarios else {}), **changes)


def test_number_of_cells() -> None:
    # 3 domains: 6 ordered pairs; 2 shots; 2 methods; 2 backbones; 3 seeds.
    cells = plan(suite(methods=["dann", "linear-probe"], backbones=["a", "b"], seeds=[0, 1, 2]), CARD)
    assert len(cells) == 6 * 2 * 2 * 2 * 3
    assert len({cell.key for cell in cells}) == len(cells)
    # And 3 targets with 2 shots of kind pretrained beside them.
    both = suite({"kind": "cross-domain", "shots": [0, 5]}, {"kind": "pretrained", "shots": [5, "all"]})
    assert len(plan(both, CARD)) == 6 * 2 + 3 * 2


def test_several_steps_are_an_axis_of_cells_with_their_own_budget() -> None:
    one = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0, 5]}
    several = suite(one, budget={"steps": [300, 900], "batch_size": 16})
    cells = plan(several, CARD)
    assert [(c.budget.steps, c.scenario.shots) for c in cells] == [(300, 0), (300, 5), (900, 0), (900, 5)]
    for steps in (300, 900):
        alone = plan(suite(one, budget={"steps": steps, "batch_size": 16}), CARD)
        assert {cell.key for cell in alone} == {cell.key for cell in cells if cell.budget.steps == steps}
    assert Suite(**several.model_dump()) == several, "a results folder keeps it"


def test_until_converged_is_part_of_the_key() -> None:
    one = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0]}
    (usual,), (until,) = (
        plan(suite(one, budget=budget), CARD) for budget in ({}, {"steps": "until-converged"})
    )
    assert (until.budget.steps, until.budget.longest) == (300, 4800)
    assert usual.key != until.key
    assert until.model_copy(update={"budget": usual.budget}).key == usual.key
    counts = [until.budget]
    while following := counts[-1].longer:
        counts.append(following)
    assert [budget.steps for budget in counts] == [300, 600, 1200, 2400, 4800]


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ({"steps": "until-converged", "evaluations": 2}, "whether a cell has converged: use 3 or more"),
        ({"steps": 300, "longest": 200}, "the longest run, 200 steps, is shorter than 300 steps"),
    ],
)
def test_convergence_can_be_seen(budget: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        suite(budget=budget)


@pytest.mark.parametrize("steps", [[], [300, 0], [300, 6], [300, "many"]])
def test_several_steps_are_each_checked(steps: list[Any]) -> None:
    with pytest.raises(ValidationError, match=r"steps|evaluations"):
        suite(budget={"steps": steps})


def test_a_question_is_asked_once() -> None:
    twice = {"kind": "cross-domain", "sources": ["google", "google"], "targets": ["apple"], "shots": [1, 1]}
    assert len(plan(suite(twice, twice, seeds=[4, 4], methods=["dann", "dann"]), CARD)) == 1


CONTROLS = {"dann": {"weight": 0.0}, "maml": "ncm", "proto-net": "ncm", "tent": "full-finetune"}


def variants(cells: list[Cell]) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """What is run on each scenario, in the plan's order."""
    return [key for key, _ in groupby((cell.method, cell.overrides, cell.control_of) for cell in cells)]


def test_controls_are_cells_beside_the_methods() -> None:
    mine = suite(methods=["full-finetune", "dann", "tent", "maml", "proto-net"])
    plain, cells = plan(mine, CARD), plan(mine, CARD, CONTROLS)
    assert variants(cells) == [
        ("full-finetune", {}, ()),
        ("dann", {}, ()),
        ("dann", {"weight": 0.0}, ("dann",)),
        ("tent", {}, ()),
        ("maml", {}, ()),
        ("ncm", {}, ("maml", "proto-net")),
        ("proto-net", {}, ()),
    ], "one that serves two methods is run once, one that is a method of the suite adds nothing"
    own = [cell for cell in cells if not cell.control_of]
    assert own == plain, "cells of methods, their keys and their order are as without controls"
    assert len(cells) == len({cell.key for cell in cells}) == 7 * 6 * 2


def test_controls_keep_what_the_suite_sets() -> None:
    mine = suite(methods=["dann", "maml"], set={"dann": {"hidden": 64, "weight": 0.5}, "ncm": {"scale": 0.1}})
    assert variants(plan(mine, CARD, CONTROLS)) == [
        ("dann", {"hidden": 64, "weight": 0.5}, ()),
        ("dann", {"hidden": 64, "weight": 0.0}, ("dann",)),
        ("maml", {}, ()),
        ("ncm", {"scale": 0.1}, ("maml",)),
    ]


def test_a_method_whose_idea_is_off_is_its_own_control() -> None:
    off = suite(methods=["dann"], set={"dann": {"weight": 0.0}})
    assert plan(off, CARD, CONTROLS) == plan(off, CARD)


def test_why_a_cell_is_run_is_no_part_of_its_key() -> None:
    one = {"kind": "pretrained", "targets": ["apple"], "shots": [1]}
    (asked,) = plan(suite(one, methods=["ncm"]), CARD)
    method, control = plan(suite(one, methods=["maml"]), CARD, CONTROLS)
    assert control != asked
    assert control.key == asked.key
    assert control.title.startswith("ncm (control) pretrained → apple")
    assert method.title.startswith("maml pretrained → apple")


def test_titles_tell_kinds_of_one_pair_apart() -> None:
    pair = {"sources": ["google"], "targets": ["twitter"], "shots": [0]}
    cells = plan(
        suite(
            {"kind": "cross-domain", **pair},
            {"kind": "cross-domain", **pair, "stream": {"batch": 16}},
            {"kind": "source-free", **pair},
            {"kind": "open", **pair, "unknown": 2},
            {"kind": "partial", **pair, "target_classes": 2},
            methods=["tent"],
            classes=4,
        ),
        CARD,
    )
    assert [cell.title.partition("0-shot ")[2].partition(f"{cell.backbone} ")[0] for cell in cells] == [
        "",
        "(stream shuffled, 16 at once) ",
        "source-free ",
        "open (2 unknown classes) ",
        "partial (2 of 4 classes) ",
    ]


def test_scenarios() -> None:
    table = {"kind": "cross-domain", "sources": ["windows"], "targets": ["google", "windows"], "shots": [1]}
    (cell,) = plan(suite(table), CARD)
    scenario = cell.scenario
    assert (scenario.source, scenario.target, scenario.shots) == ("windows", "google", 1)
    assert scenario.source_classes == scenario.target_classes == tuple(CARD.classes[:3])
    assert scenario.same_classes
    assert scenario.pair == "windows → google"


def test_kind_pretrained_has_no_source() -> None:
    cells = plan(suite({"kind": "pretrained", "shots": [1]}), CARD)
    assert [cell.scenario.target for cell in cells] == ["apple", "google", "twitter"]
    for cell in cells:
        assert cell.scenario.source is None
        assert cell.scenario.source_classes == ()
        assert source_stage(cell, sees_target=True) is None


def test_kind_cross_task_stays_in_its_domain() -> None:
    cells = plan(suite({"kind": "cross-task", "shots": [1, 5]}, classes=7), CARD)
    assert len(cells) == 3 * 2
    for scenario in (cell.scenario for cell in cells):
        assert scenario.source == scenario.target
        assert not set(scenario.source_classes) & set(scenario.target_classes)
        assert set(scenario.source_classes) | set(scenario.target_classes) == set(CARD.classes[:7])
        assert (len(scenario.source_classes), len(scenario.target_classes)) == (3, 4)
        assert not scenario.same_classes


def test_kind_cross_domain_task_has_the_same_target_classes() -> None:
    tables = [{"kind": kind, "shots": [1]} for kind in ("cross-task", "cross-domain-task")]
    tables.append({"kind": "pretrained", "shots": [1], "target_classes": "new"})
    cells = plan(suite(*tables, classes=8), CARD)
    assert len(cells) == 3 + 6 + 3
    assert len({cell.scenario.target_classes for cell in cells}) == 1
    assert len({cell.scenario.source_classes for cell in cells if cell.scenario.source}) == 1


@pytest.mark.parametrize("classes", [2, 3])
def test_tasks_of_a_single_class_are_no_tasks(classes: int) -> None:
    with pytest.raises(UserError):
        plan(suite({"kind": "cross-task", "shots": [1]}, classes=classes), CARD)


def test_default_domains_are_the_cards() -> None:
    cells = plan(suite(domains=None), CARD)
    assert len(cells) == 4 * 3 * 2
    assert {cell.scenario.target for cell in cells} == {"google", "twitter", "windows", "apple"}


def test_cells_that_share_a_source_stage_follow_each_other() -> None:
    cells = plan(suite(methods=["full-finetune", "linear-probe"], seeds=[0, 1], backbones=["a", "b"]), CARD)
    shared = [source_stage(cell, sees_target=False) for cell in cells]
    runs = [key for key, _ in groupby(stage.key for stage in shared if stage)]
    assert len(runs) == len(set(runs)) == 3 * 2 * 2 * 2  # sources, methods, seeds, backbones


def test_plan_does_not_depend_on_the_order_of_tables_and_seeds() -> None:
    one, two = {"kind": "cross-domain", "shots": [0, 5]}, {"kind": "pretrained", "shots": [5]}
    forwards = plan(suite(one, two, seeds=[0, 1]), CARD)
    backwards = plan(suite(two, one, seeds=[1, 0]), CARD)
    assert [cell.key for cell in forwards] == [cell.key for cell in backwards]


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [9]},
        {"methods": ["dann"]},
        {"backbones": ["b"]},
        {"budget": Budget(steps=20)},
        {"classes": 4},
        {"augment": "none"},
        {"precision": "bf16"},
        {"image_size": 96},
        {"set": {"linear-probe": {"l2": 0.5}}},
    ],
)
def test_what_decides_a_source_stage(change: dict[str, Any]) -> None:
    one = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0]}
    (a,), (b,) = plan(suite(one), CARD), plan(suite(one, **change), CARD)
    first, second = source_stage(a, False), source_stage(b, False)
    assert first
    assert second
    assert first.key != second.key


def test_transductive_decides_a_source_stage_that_sees_the_target() -> None:
    one = {"kind": "cross-domain", "sources": ["google"], "targets": ["apple"], "shots": [0]}
    (a,), (b,) = plan(suite(one), CARD), plan(suite(one, transductive=True), CARD)
    assert a.key != b.key
    for sees_target in (False, True):
        first, second = source_stage(a, sees_target), source_stage(b, sees_target)
        assert first
        assert second
        assert (first.key != second.key) == sees_target


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "cross-domain", "sources": ["google"], "targets": ["google"], "shots": [0]},
        {"kind": "cross-domain", "sources": [], "shots": [0]},
        {"kind": "pretrained", "targets": [], "shots": [1]},
    ],
)
def test_empty_matrix(table: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="suite 'mine' asks for no cell"):
        plan(suite(table), CARD)


@pytest.mark.parametrize("where", ["sources", "targets"])
def test_unknown_domain(where: str) -> None:
    with pytest.raises(UserError, match=r"unknown domain of emoji-home 'aple': did you mean 'apple'\?"):
        plan(suite({"kind": "cross-domain", where: ["aple"], "shots": [0]}), CARD)
    with pytest.raises(UserError, match="unknown domain of emoji-home 'aple'"):
        plan(suite(domains=["google", "aple"]), CARD)


def test_classes() -> None:
    assert choose_classes(suite(classes=None), CARD) == tuple(CARD.classes)
    assert choose_classes(suite(classes=2), CARD) == ("animal-mammal", "person-role")
    named = ["time", "clothing", "time"]
    assert choose_classes(suite(classes=named), CARD) == ("time", "clothing")
    assert len(choose_classes(suite(classes=55), CARD)) == 55


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (56, "classes = 56, but 'emoji-home' has 2 to 55"),
        (1, "classes = 1"),
        (0, "classes = 0"),
        (["time", "tim"], "unknown class of emoji-home 'tim': did you mean 'time'"),
        (["time", "time"], "at least two classes"),
        ([], "at least two classes"),
    ],
)
def test_impossible_classes(classes: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        choose_classes(suite(classes=classes), CARD)


def test_a_number_of_classes_is_none_below_zero() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        suite(classes=-3)
