"""`bench recommend` and `bench check-search`, from the outside."""

from __future__ import annotations

from pathlib import Path

from bench.commands.experiments.execution import outcomes
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.options import SuiteOptions
from bench.records.record import Outcome, Request
from bench.records.store import Store
from tests.quick import expected, quick_cell
from tests.support.checkout import ROOT, bench

SUITE = """
description = "tiny"
dataset = "emoji-home"
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe", "full-finetune", "nas-lite"]
seeds = [0, 1]
[budget]
steps = 8
batch_size = 8
evaluations = 2
[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0, 3]
"""


def test_recommend_runs_what_it_needs_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    nothing = bench("recommend", "--suite", "tiny.toml", cwd=tmp_path)
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("error: no cell of suite 'tiny' is done in")
    assert nothing.stderr.count("\n") == 1
    command = ("recommend", "--suite", "tiny.toml", "--shots", "3", "--run", "--budget")
    found = bench(*command, "0.4", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "cross-domain, 3 labelled target images per class" in found.stdout
    assert "google → twitter: use " in found.stdout
    store = Store(tmp_path / "results/tiny")
    records = list(store.records())
    assert 1 <= len(records) < 6, "six cells, and no more than 40 % of what they cost"
    assert {record.request.cell.scenario.shots for record in records} == {3}
    dear = bench("recommend", "--suite", "tiny.toml", "--max-seconds", "0", cwd=tmp_path)
    assert "no method is within these seconds" in dear.stdout
    again = bench(*command, "0.4", cwd=tmp_path)
    assert len(list(store.records())) == len(records), "what was spent before counts"
    # What is there by other code says nothing.
    known, cell = records[0], records[0].request.cell
    both = [(method, seed) for method in ("linear-probe", "full-finetune", "nas-lite") for seed in (0, 1)]
    cells = [cell.model_copy(update={"method": method, "seed": seed}) for method, seed in both]
    other = next(each for each in cells if store.read(each.key) is None)
    request = known.request.model_copy(update={"cell": other})
    stale = {"key": other.key, "request": request, "digests": known.digests.without_method}
    store.write(known.model_copy(update=stale), store.predictions(known))
    again = bench(*command, "0.01", cwd=tmp_path)
    assert "1 of 6 cells are of other code or data and in no number here" in again.stdout, again.stderr
    lying = bench("recommend", "--suite", "tiny.toml", "--shots", "3", cwd=tmp_path)
    assert "other code" not in lying.stdout


def test_recommend_chooses_a_network_too(tmp_path: Path) -> None:
    """Two networks, ranked by what the target's validation images say of them before anything is run."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    networks = "test_efficientnet.untrained,test_efficientnet_ln.untrained"
    command = ("recommend", "--suite", "tiny.toml", "--shots", "3", "--seeds", "0", "--backbone", networks)
    found = bench(*command, "--methods", "linear-probe,nas-lite", "--run", "--budget", "1", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "twitter: networks in the order of their scores: test_efficientnet" in found.stdout
    assert found.stdout.count("google → twitter: use ") == 1, "networks are answers, not questions"
    records = list(Store(tmp_path / "results/tiny").records())
    assert len({record.request.cell.backbone for record in records}) == 2
    lying = bench(*command, cwd=tmp_path)
    assert " on test_efficientnet" in lying.stdout


def test_simulation_from_the_command_line() -> None:
    wrong = bench("recommend", "--simulate", "emoji-hom", cwd=ROOT)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no results folder and no baseline 'emoji-hom'")
    found = bench("recommend", "--simulate", "smoke", "--budget", "0.5", cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert "3 questions, 3 methods: 9 cells" in found.stdout
    assert "halving over steps" in found.stdout


def test_recommend_unknown_shots(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    found = bench("recommend", "--suite", "tiny.toml", "--shots", "7", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr == "error: suite 'tiny' has no cells with 7 shots: choose from 0, 3\n"


def test_an_attempt_of_other_code_says_nothing_about_a_record_of_todays(tmp_path: Path) -> None:
    """As where a method's file was broken for a while, and is what it was again."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    selection = SuiteOptions(str(tmp_path / "tiny.toml"), methods=["linear-probe"])
    plan = RunPlan.resolve(selection, str(tmp_path / "results"), ExecutionOptions())
    plan.store.prepare()
    cell, digests = plan.cells[0], plan.digests["linear-probe"]
    known, predictions = expected(quick_cell(0))
    done = known.model_copy(
        update={
            "key": cell.key,
            "request": Request(cell=cell, setting=known.request.setting, suite="tiny"),
            "digests": digests,
        }
    )
    failed = {"outcome": Outcome(status="failed", reason="a typo"), "digests": digests.without_method}
    done = plan.store.write(done, predictions)
    plan.store.write(done.model_copy(update=failed), {})
    attempt = plan.store.versions.attempt(cell.key)
    assert attempt
    assert not attempt.done
    assert outcomes(plan, [cell]) == [done]


def test_check_search(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    command = ("check-search", "--suite", "tiny.toml", "--draws", "2")
    many = bench(*command[:-1], "5", cwd=tmp_path)
    assert many.returncode == 2
    said = (
        "error: --draws 5: each takes 2 steps or more, and a search of this suite has 8: use fewer, or more"
    )
    assert many.stderr == f"{said} --steps\n"
    first = bench(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "4 runs of 2 questions" in first.stdout
    for name in ("nas-lite", "random member", "random search"):
        assert name in first.stdout
    records = list(Store(tmp_path / "results/tiny-search").records())
    assert len(records) == 4 * (1 + 1 + 2)
    draws = [record for record in records if record.request.cell.budget.steps == 4]
    assert len(draws) == 4 * 2
    assert all(record.details["source"]["candidates left"] == 1 for record in draws)
    assert len({record.request.cell.seed for record in draws}) == 4
