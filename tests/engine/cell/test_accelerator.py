"""What only an accelerator shows; skipped where there is none."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from bench.api import Batch, Model
from bench.data.dataset import silent
from bench.engine.cell.environment import where
from bench.engine.cell.runner import Context, run_cell
from bench.engine.evaluation.predict import filled
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.data_parallel import Rank
from bench.method.registry import method_modules
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import synchronised
from bench.records.record import Predictions, Record
from bench.records.store import Store
from bench.spec.cell import Budget, Cell, RequestedSetting, Setting
from tests.support.cells import NORMLESS, TINY, answer, assert_equal, digests, interrupt, tiny_cell
from tests.support.checkout import bench

FOUND = torch.accelerator.current_accelerator(check_available=True)
DEVICE = FOUND or torch.device("cpu")

pytestmark = pytest.mark.skipif(FOUND is None, reason="no accelerator on this machine")
of_cuda = pytest.mark.skipif(DEVICE.type != "cuda", reason="this is about CUDA devices")

METHODS = sorted(method_modules())


def there(
    cell: Cell, folder: Path, checkpoints: Path | None = None, progress: Any = silent, **setting: Any
) -> tuple[Record, Predictions]:
    """The record and predictions of a cell on the accelerator."""
    how = Setting(device=str(DEVICE), **setting)
    context = Context("tests", how, where(DEVICE), Artifacts(folder), checkpoints)
    return run_cell(cell, context, digests(cell.method), progress)


def asked(method: str) -> Cell:
    """A question that the method answers."""
    return tiny_cell(method, source=None if method == "scratch" else "google")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_numbers_again(method: str, tmp_path: Path) -> None:
    """Same cell, same seed, same machine: bit for bit."""
    record, predictions = there(asked(method), tmp_path / "a")
    if record.outcome.status == "skipped":
        pytest.skip(record.outcome.reason)
    again, same = there(asked(method), tmp_path / "b")
    assert record.outcome.status == again.outcome.status == "done", (record.outcome, again.outcome)
    assert record.evaluations == again.evaluations
    assert_equal(predictions, same)
    assert record.environment.accelerator
    assert record.request.setting.device == str(DEVICE)
    assert record.cost.peak_memory_bytes > 0


@pytest.mark.parametrize(
    "method", ["linear-probe", "partial-finetune", "full-finetune", "lp-finetune", "maml", "proto-net"]
)
def test_the_numbers_of_a_cpu(method: str, tmp_path: Path) -> None:
    """As near as float32 keeps them over a few steps, where nothing is drawn on the device (dropout is)."""
    record, predictions = there(asked(method), tmp_path / "a")
    expected, known = answer(asked(method), tmp_path / "b")
    for ours, theirs in zip(record.evaluations, expected.evaluations, strict=True):
        assert ours.step == theirs.step
        if theirs.train_loss is not None:
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=2e-3)
    for name in known:
        near = max(0.02, 0.01 * float(np.abs(known[name]).max()))
        np.testing.assert_allclose(predictions[name], known[name], rtol=0, atol=near, err_msg=name)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_precisions(precision: str, tmp_path: Path) -> None:
    """Each trains; what takes fewer digits answers otherwise than fp32 does, though not by much."""
    if precision == "tf32" and DEVICE.type != "cuda":
        pytest.skip("tf32 is of CUDA devices")
    cell = tiny_cell(budget=Budget(steps=30, batch_size=16, evaluations=1), source=None, augment="none")
    exact, expected = there(cell, tmp_path / "a")
    record, predictions = there(cell.model_copy(update={"precision": precision}), tmp_path / "b")
    assert record.outcome.status == "done", record.outcome
    name = next(name for name in expected if name.endswith("target-test/logits"))
    assert (precision == "fp32") == np.array_equal(predictions[name], expected[name])
    assert record.evaluations[-1].train_loss == pytest.approx(exact.evaluations[-1].train_loss, rel=0.2)


def test_a_timed_cell(tmp_path: Path) -> None:
    """Steps are waited for one by one, operations counted, energy read where the package for it is there."""
    cell = tiny_cell(
        setting=RequestedSetting(device=DEVICE.type), budget=Budget(steps=12, batch_size=16, evaluations=1)
    )
    record, _ = there(cell, tmp_path)
    assert record.outcome.status == "done", record.outcome
    measured = record.cost
    assert measured.steps
    assert 0 < measured.steps.p25 <= measured.steps.p50 <= measured.steps.p95
    assert measured.flops_per_step
    assert measured.predictions_per_second
    assert measured.calibration_seconds
    untimed, _ = there(tiny_cell(), tmp_path / "untimed")
    assert untimed.cost.steps is None
    if DEVICE.type == "cuda" and importlib.util.find_spec("pynvml"):
        assert measured.energy_joules
        assert measured.energy_joules > 0


@of_cuda
@pytest.mark.slow
@pytest.mark.parametrize("how", [True, "reduce-overhead"])
def test_compiled(how: Any, tmp_path: Path) -> None:
    cell = tiny_cell(source=None, augment="none")
    eager, expected = there(cell, tmp_path / "a")
    record, predictions = there(
        cell.model_copy(update={"setting": RequestedSetting(compile=how)}), tmp_path / "b"
    )
    assert record.outcome.status == "done", (record.outcome.reason, record.outcome.log)
    assert record.evaluations[-1].train_loss == pytest.approx(eager.evaluations[-1].train_loss, rel=1e-2)
    for name in expected:
        np.testing.assert_allclose(predictions[name], expected[name], rtol=5e-2, atol=5e-2, err_msg=name)


@pytest.fixture
def little_memory() -> Iterator[Any]:
    """Lets a test say how many bytes of the device this process may have."""

    def limit(bytes_: float) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(bytes_ / torch.cuda.get_device_properties(0).total_memory)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@of_cuda
def test_memory_that_is_out_halves_the_batch(little_memory: Any, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"source": None, "image_size": 64, "augment": "none"}
    cell = tiny_cell(backbone=NORMLESS, budget=Budget(steps=3, batch_size=512, evaluations=1), **changes)
    whole, expected = there(cell, tmp_path / "a")
    assert not whole.warnings
    most = 0.3 * whole.cost.peak_memory_bytes
    little_memory(most)
    halved, found = there(cell, tmp_path / "b")
    assert halved.outcome.status == "done", halved.outcome
    assert "parts" in " ".join(halved.warnings)
    assert halved.cost.peak_memory_bytes < most
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=5e-3, atol=5e-3, err_msg=name)
    little_memory(1e6)
    none, _ = there(cell, tmp_path / "c")
    assert none.outcome.status == "failed"
    assert "out of memory" in none.outcome.reason


def test_it_goes_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit as without the interruption; here in fp16, whose scaler is part of the state."""
    cell = tiny_cell("dann", precision="fp16", shots=0)
    whole, expected = there(cell, tmp_path / "whole")
    monkeypatch.setattr("bench.engine.training.checkpoints.EVERY", 0.0)
    first, _ = there(cell, tmp_path / "parts", tmp_path / "checkpoints", interrupt)
    assert first.outcome.reason == "Interruption"
    steps: list[int] = []

    def note(what: str, done: int, total: int) -> None:
        if what == "source stage":
            steps.append(done)

    record, found = there(cell, tmp_path / "parts", tmp_path / "checkpoints", note)
    assert steps[0] > 1, "it begins where it was left"
    assert record.evaluations == whole.evaluations
    assert_equal(found, expected)


def test_a_last_batch_is_filled_up_with_copies() -> None:
    x = torch.arange(3.0, device=DEVICE).view(3, 1, 1, 1).expand(3, 4, 5, 5)
    x = x.contiguous(memory_format=torch.channels_last)
    more = filled(x, 8)
    assert more[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert more.is_contiguous(memory_format=torch.channels_last)
    assert filled(x, 2) is x


def _batch() -> Batch:
    x = torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    return Batch(x, (torch.arange(9) % 3).to(DEVICE))


def _network() -> Model:
    torch.manual_seed(0)
    backbone = create_backbone(TINY)
    return Model(backbone, nn.Linear(backbone.num_features, 3)).to(DEVICE).train()


def _train(model: Model, part: Any) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    for step in range(3):
        batch = part.of(_batch(), step) if part else _batch()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch.x), batch.y)
        if part:
            loss = part.weighted(loss)
        loss.backward()
        loss = loss.detach()
        losses.append(float(part.combine(loss, model) if part else loss))
        optimizer.step()
    return losses


def _running(model: nn.Module) -> list[float]:
    """Running variances, a sum for each layer."""
    return [b.sum().item() for name, b in model.named_buffers() if name.endswith("running_var")]


def _rank(rank: int, size: int, folder: str, backend: str) -> None:
    torch.backends.cudnn.allow_tf32 = False
    # NCCL wants a device for each process; gloo lets them share one.
    dist.get_default_backend_for_device = lambda device: backend
    model = synchronised(_network())
    part = Rank(rank, size, DEVICE, 0, Path(folder))
    part.same_state(model)  # type: ignore[arg-type]
    losses = _train(model, part)  # type: ignore[arg-type]
    Rank.leave()
    if rank == 0:
        running = [
            b.float().sum().item() for name, b in model.named_buffers() if name.endswith("running_var")
        ]
        Path(folder, "found.json").write_text(json.dumps({"losses": losses, "running": running}))


@of_cuda
@pytest.mark.slow
@pytest.mark.parametrize(("size", "backend"), [(1, "nccl"), (2, "gloo")])
def test_several_processes_with_synchronised_batch_norm(size: int, backend: str, tmp_path: Path) -> None:
    """As one process with the whole batch, running statistics included."""
    mp.spawn(_rank, (size, str(tmp_path), backend), nprocs=size)
    found = json.loads((tmp_path / "found.json").read_text())
    torch.backends.cudnn.allow_tf32 = False
    model = _network()
    assert found["losses"] == pytest.approx(_train(model, None), rel=1e-3)
    assert found["running"] == pytest.approx(_running(model), rel=1e-3)


SUITE = f"""\
description = "on an accelerator"
dataset = "emoji-home"
domains = ["google", "twitter"]
classes = 3
image_size = 32
backbones = ["{TINY}"]
methods = ["linear-probe", "full-finetune", "dann"]
budget = {{ steps = 4, batch_size = 8, evaluations = 1 }}
seeds = [0, 1]
[[scenarios]]
kind = "cross-domain"
shots = [0]
"""


@pytest.mark.slow
def test_two_workers_share_it(tmp_path: Path) -> None:
    """From the command line to the records; a number that no device has is one line."""
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE)
    options = ["run", "--suite", str(suite), "--workers", "2", "--cells-per-device", "2"]
    process = bench(*options, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    records = [*Store(tmp_path / "results" / "mine").records()]
    assert len(records) == 12
    assert {record.outcome.status for record in records} == {"done"}
    assert {record.request.setting.device for record in records} == {DEVICE.type}
    process = bench(*options, "--device", f"{DEVICE.type}:7", "--fresh", cwd=tmp_path)
    assert process.returncode == 2
    assert f"error: no device '{DEVICE.type}:7' on this machine: choose from auto, cpu, {DEVICE.type}" in (
        process.stderr
    )
