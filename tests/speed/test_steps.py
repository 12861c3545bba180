"""The training step of every method, the fit of a probe, and the report; `make speed` runs these.

Asserts nothing about time. The network and the images are those of the suite `quick`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.errors import CellSkipped
from bench.engine.cell.environment import default_threads
from bench.method.maths.logistic import fit_logistic
from bench.method.registry import method_modules
from bench.spec.matrix.suite import load_suite
from tests.speed.steps import STEPS, Steps
from tests.support.cells import answer, tiny_cell

METHODS = sorted(method_modules())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of frozen features, so that their making is no part of any step."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.mark.parametrize("name", METHODS)
def test_step(name: str, shared: Path, benchmark: Any) -> None:
    """Steps of a stage at lite0, 64 px, batches of 32, with what begins and ends it; or the fit."""
    torch.set_num_threads(default_threads())
    try:
        steps = Steps(name, shared)
    except CellSkipped as reason:
        pytest.skip(str(reason))
    benchmark.group = f"{STEPS} training steps" if steps.trained else "fit"
    assert benchmark.pedantic(steps.run, rounds=5, warmup_rounds=1) > 0
    benchmark.extra_info["images"] = sum(steps.items.values())


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
