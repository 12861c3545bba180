"""Targets in parts: orders, groups of classes, clients, stages by hand, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.scenarios import stages
from bench.spec.stages import Items
from tests.support.checkout import bench
from tests.support.suites import emoji_suite

CLASSES = tuple(load_card("emoji-home").classes[:4])


def cells(**table: Any) -> list[Cell]:
    scenario = {"kind": "continual", "shots": ["all"], **table}
    return plan(emoji_suite(classes=4, scenarios=[scenario]), load_card("emoji-home"))


def orders(found: list[Cell]) -> list[list[str]]:
    return [[part.domain for part in cell.scenario.parts] for cell in found]


def test_rotations_put_each_domain_at_another_place() -> None:
    found = orders(cells(orders=3))
    assert sorted(found) == [
        ["apple", "google", "twitter"],
        ["google", "twitter", "apple"],
        ["twitter", "apple", "google"],
    ]
    assert orders(cells()) == [["google", "twitter", "apple"]]


def test_orders_can_be_named() -> None:
    (cell,) = cells(orders=[["apple", "google"]])
    assert cell.scenario.pair == "apple → google"
    assert cell.scenario.domains == ("apple", "google")
    assert cell.scenario.source is None


def test_a_stage_for_each_domain_and_one_head() -> None:
    (cell,) = cells(orders=[["apple", "google", "twitter"]])
    first, second, third = stages(cell)
    assert [stage.name for stage in (first, second, third)] == ["task-1", "task-2", "task-3"]
    assert first.labelled == Items(domain="apple", classes=CLASSES, part="shots")
    assert first.replay is None
    assert second.replay == first.labelled
    assert third.replay == Items(domain=("apple", "google"), classes=CLASSES, part="shots")
    assert third.unlabelled == Items(domain="twitter", classes=CLASSES, part="train")
    assert not any(stage.shared for stage in (first, second, third))
    assert {stage.steps for stage in (first, second, third)} == {cell.budget.steps}


def test_groups_of_classes_are_learnt_by_a_head_for_all() -> None:
    one, other = cells(class_groups=2, orders=2, targets=["twitter"])
    assert {one.scenario.target, other.scenario.target} == {
        "twitter, classes 1 → 2",
        "twitter, classes 2 → 1",
    }
    first, second = stages(one)
    assert (first.labelled.classes, second.labelled.classes) == (CLASSES[:2], CLASSES[2:])
    assert first.classes == second.classes == CLASSES
    assert second.replay == first.labelled


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"orders": 4}, "has 3 rotations of 3 tasks, not 4"),
        ({"targets": ["apple"]}, "takes two tasks or more, and has 1 task"),
        ({"orders": [["apple", "nothing"]]}, "unknown domain of emoji-home 'nothing'"),
        ({"class_groups": 5, "targets": ["apple"]}, "has 5 groups of 4 classes"),
    ],
)
def test_what_the_dataset_cannot_give_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        cells(**table)


def test_clients_share_one_stage() -> None:
    scenario = {"kind": "federated", "shots": [5], "rounds": 3, "local_steps": 4}
    (cell,) = plan(emoji_suite(classes=4, scenarios=[scenario]), load_card("emoji-home"))
    assert cell.scenario.pair == "google + twitter + apple"
    (stage,) = stages(cell)
    assert stage.steps == 12
    assert stage.labelled == Items(domain=("google", "twitter", "apple"), classes=CLASSES, part="shots")
    assert (stage.replay, stage.shared) == (None, False)


def test_every_client_has_two_items_of_a_batch() -> None:
    scenario = {"kind": "federated", "shots": [5], "rounds": 3, "local_steps": 4}
    suite = emoji_suite(classes=4, scenarios=[scenario], budget={"batch_size": 5})
    with pytest.raises(UserError, match="shares each batch of 5 among 3 clients: use a batch_size of 6"):
        plan(suite, load_card("emoji-home"))


@pytest.mark.parametrize(("suite", "count"), [("smoke-continual", 18), ("smoke-federated", 6)])
def test_a_plan_lists_the_cells(suite: str, count: int, tmp_path: Path) -> None:
    ran = bench("run", "--suite", suite, "--plan", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert f"{count} cells: " in ran.stdout


SUITE = """
description = "mine"
dataset = "emoji-home"
backbones = ["test_efficientnet.untrained"]
methods = ["naive", "full-finetune"]
classes = 4

[[scenarios]]
kind = "{kind}"
shots = {shots}
{more}
"""


@pytest.mark.parametrize(
    ("kind", "shots", "more", "said"),
    [
        ("continual", '["all"]', 'orders = [["google", "apple", "google"]]', "names 'google' twice"),
        ("continual", '["all"]', "orders = 0", "greater than or equal to 1"),
        ("continual", '["all"]', "orders = []", "has no order"),
        ("continual", '["all"]', 'orders = [["google"]]', "takes two tasks or more, and has 1 task"),
        ("continual", '["all"]', 'orders = [["google", "apple"]]\nclass_groups = 2', "groups have no names"),
        ("continual", '["all"]', "class_groups = 1", "greater than or equal to 2"),
        ("continual", "[0]", "", "has no labels at 0 shots"),
        ("continual", '["all"]', 'sources = ["google"]', "has no source"),
        ("continual", '["all"]', "rounds = 3", "knows no 'rounds'"),
        ("continual", "[1]", "[scenarios.episodes]", "has no episodes"),
        ("cross-domain", "[0]", "orders = 2", "knows no 'orders'"),
        ("continual", '["all"]', "stream = { batch = 8 }", "has no stream"),
        ("continual", "[1000]", "", "1,000 shots of emoji-home/"),
        ("cross-domain", "[0]", "stream = { batch = 100000 }", "less than or equal to 65536"),
        ("cross-domain", "[0]", "stream = { batch = 50000 }", "a stream of 50000 images at once"),
        ("cross-domain", "[0]", 'stream = { order = "sorted" }', "'shuffled' or 'by-class'"),
        ("cross-domain", "[1]", "stream = {}\n[scenarios.episodes]", "episodes are no stream"),
        ("federated", '["all"]', "rounds = 0\nlocal_steps = 2", "greater than or equal to 1"),
        ("federated", '["all"]', "rounds = 2", "needs 'local_steps'"),
        ("federated", '["all"]', "rounds = 2\nlocal_steps = 2\norders = 2", "knows no 'orders'"),
        ("federated", '["all"]', 'rounds = 2\nlocal_steps = 2\ntargets = ["apple"]', "takes two clients"),
    ],
)
def test_a_wrong_request_is_one_line(kind: str, shots: str, more: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(kind=kind, shots=shots, more=more))
    ran = bench("run", "--suite", str(path), cwd=tmp_path)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
