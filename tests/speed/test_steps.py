"""The training step of every method, the fit of a probe, and the report; `make speed` runs these.

Asserts nothing about time. The network and the images are those of the suite `quick`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.api import GradientMethod
from bench.data.catalog import load_card
from bench.engine.cell.environment import default_threads
from bench.engine.cell.stage import StageRun
from bench.engine.training.loop import Hooks, Schedule, Training
from bench.method.maths.logistic import fit_logistic
from bench.method.registry import load_method, method_modules
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.support.cells import answer, steps_of, tiny_cell

STEPS = 4
METHODS = [name for name in method_modules() if issubclass(load_method(name), GradientMethod)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of frozen features, so that their making is no part of any step."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.mark.parametrize("name", METHODS)
def test_step(name: str, shared: Path, benchmark: Any) -> None:
    """Steps of a source stage at lite0, 64 px, batches of 32; the time is of four."""
    torch.set_num_threads(default_threads())
    suite = load_suite("quick").model_copy(update={"methods": [name]})
    cells = plan(suite, load_card(suite.dataset))
    cell = next(cell for cell in cells if cell.scenario.source and cell.scenario.shots == 5)
    run = steps_of(cell, shared)
    method = run.method
    if lacks := method.unavailable():
        pytest.skip(f"{name} {lacks}")
    assert isinstance(method, GradientMethod)
    spec = next(stage for stage in run.stages if method.trains(stage.name))
    run.open()
    model, task, labelled = run.build(spec), run.task(spec), run.partitions.of(spec.labelled)
    feed = run.trainer.batches(StageRun(spec, task, model, labelled), labelled)
    benchmark.group = f"{STEPS} training steps"

    seen: list[int] = []

    def steps() -> None:
        stage = Schedule(task, STEPS, 1, "fp32")
        Training(method, model, feed, stage, Hooks(lambda step, loss: None, seen.append)).run()

    benchmark.pedantic(steps, rounds=5, warmup_rounds=1)
    assert seen[-STEPS:] == list(range(1, STEPS + 1))
    benchmark.extra_info["images"] = STEPS * sum(feed.sizes.values())


def test_probe(benchmark: Any) -> None:
    """Multinomial logistic regression with cross-validation on 899 × 1280 features of 57 classes."""
    torch.set_num_threads(default_threads())
    random = torch.Generator().manual_seed(0)
    y = torch.arange(899) % 57
    x = torch.randn(57, 1280, generator=random)[y] + 2 * torch.randn(899, 1280, generator=random)
    benchmark.group = "probe"

    def fit() -> float:
        head = torch.nn.Linear(1280, 57)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        return float(fit_logistic(head, x, y, torch.arange(899), seed=0)["l2"])

    assert benchmark.pedantic(fit, rounds=2) > 0


def test_report(tmp_path: Path, benchmark: Any) -> None:
    """A page of 20 cells."""
    from bench.records.store import Store
    from bench.report.render.page import build

    store = Store(tmp_path)
    store.prepare()
    suite = load_suite("smoke")
    for seed in range(20):
        store.write(*answer(tiny_cell("linear-probe", seed=seed), tmp_path / "artifacts"))
    benchmark.group = "report"
    page = benchmark.pedantic(lambda: build(tmp_path, suite=suite), rounds=2)
    assert Path(page).stat().st_size > 1000
