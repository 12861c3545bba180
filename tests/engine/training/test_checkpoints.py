"""Checkpoints of a cell; that cells go on from them is tested in `tests/contracts/test_resume.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.engine.training.checkpoints import Checkpoints
from bench.engine.training.cost import CostTracker


def test_a_done_cell_has_not_failed_if_a_checkpoint_cannot_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "key-source-1.safetensors").mkdir()
    Checkpoints(tmp_path, "key", CostTracker(torch.device("cpu")), {}).clear()
    assert f"checkpoints stay in {tmp_path}" in caplog.text
