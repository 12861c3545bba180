"""Logits as they are stored: less each row's highest, in float16."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.engine.evaluation.predict import stored
from bench.method.base import Model
from bench.method.registry import load_method
from tests.support.cells import answer, tiny_cell


@pytest.mark.parametrize("offset", [0.0, 50.0, 1000.0, -1e5])
def test_an_offset_changes_nothing(offset: float) -> None:
    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    exact = logits.double().softmax(1)
    kept = stored(logits + offset)
    assert kept.dtype == torch.float16
    assert (kept.amax(1) == 0).all()
    torch.testing.assert_close(kept.double().softmax(1), exact, rtol=0, atol=5e-3)
    assert torch.equal(kept.argmax(1), (logits + offset).argmax(1))


def test_what_is_finite_stays_finite_and_nothing_else() -> None:
    wide = torch.tensor([[0.0, -1e6], [7e4, 7e4], [-3e38, 0.0]])
    assert stored(wide).isfinite().all()
    for broken in (math.inf, -math.inf, math.nan):
        assert not stored(torch.tensor([[0.0, broken, 1.0]])).isfinite().all()


def test_a_network_beyond_float16_has_not_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tiny_cell("linear-probe", shots=0)
    plain, expected = answer(cell, tmp_path / "plain")
    method = load_method("linear-probe")
    predict = method.predict

    def far(self: object, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = predict(self, model, x)
        return logits + 70_000.0, features

    monkeypatch.setattr(method, "predict", far)
    record, found = answer(cell, tmp_path / "far")
    assert record.outcome.status == "done", record.outcome.reason
    name = "look0/target-test/logits"
    # A float32 of that size ends at hundredths.
    np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=0.02)
    assert record.evaluations[0].accuracy["target-test"] == pytest.approx(
        plain.evaluations[0].accuracy["target-test"], abs=0.03
    )
