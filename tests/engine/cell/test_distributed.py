"""Several processes that train one cell: what one process would, and nothing hangs when one of them dies."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from bench.api import Access, Batch, GradientMethod, Labelled, Model, Task, Update
from bench.core.errors import CellSkipped, UserError
from bench.data.dataset import silent
from bench.engine.cell.devices import check_several
from bench.engine.cell.runner import Context, run_cell
from bench.engine.cell.settings import resolve
from bench.engine.training.artifacts import Alone, Artifacts
from bench.engine.training.data_parallel import Rank, check_statistics
from bench.executors.factory import create
from bench.executors.placement import assign_devices
from bench.executors.protocol import ExecutorOptions
from bench.method.batch import slice_bounds
from bench.method.registry import configure, load_method, method_modules
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import synchronised
from bench.records.record import Predictions, Record
from bench.records.store import Store
from bench.spec.cell import Budget, Cell, RequestedSetting, Setting
from bench.spec.resources import Resources
from tests.quick import TODAY, RecordingWatcher, quick_cell, quick_pool
from tests.support.cells import CLASSES, NORMLESS, TINY, WHERE, digests, interrupt, steps_of, tiny_cell
from tests.support.checkout import bench, python
from tests.support.items import stage_items

UNEVEN = Budget(steps=6, batch_size=15, evaluations=2)
TWO = Setting(devices=2)


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes wait for each other by turns: that works with one processor too."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)


def run(
    cell: Cell, setting: Setting, artifacts: Artifacts, checkpoints: Path | None = None
) -> tuple[Record, Predictions]:
    context = Context("tests", setting, WHERE, artifacts, checkpoints)
    return run_cell(cell, context, digests(cell.method), silent)


def assert_alike(cell: Cell, folder: Path, devices: int = 2) -> Record:
    """Several processes answer as one does, within what float32 and float16 leave."""
    one, expected = run(cell, Setting(), Artifacts(folder / "one"))
    many, found = run(cell, Setting(devices=devices), Artifacts(folder / "many"))
    assert (one.outcome.status, many.outcome.status) == ("done", "done"), many.outcome
    assert (one.cost.devices, many.cost.devices) == (1, devices)
    assert many.request.setting.devices == devices
    assert many.cost.streams == one.cost.streams
    assert many.cost.parameters_trained == one.cost.parameters_trained
    for ours, other in zip(many.evaluations, one.evaluations, strict=True):
        assert (ours.stage, ours.step) == (other.stage, other.step)
        assert ours.train_loss == pytest.approx(other.train_loss, rel=1e-4)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=5e-3, atol=5e-3, err_msg=name)
    return many


def test_two_processes_answer_as_one_does(tmp_path: Path) -> None:
    """Both stages, with batches that cannot be halved."""
    assert_alike(tiny_cell(backbone=NORMLESS, budget=UNEVEN), tmp_path)


class Centred(torch.autograd.Function):
    """Rows of a slice less the whole batch's mean, as synchronised batch norm has it: (B, D) -> (B, D)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, images: int) -> torch.Tensor:
        ctx.images = images
        total = x.sum(0)
        dist.all_reduce(total)
        return x - total / images

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        total = gradient.sum(0)
        dist.all_reduce(total)
        return gradient - total / ctx.images, None


def layers() -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 2)])


def uneven() -> Batch:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    return Batch(x, torch.tensor([0, 1, 1, 0, 1]))


def one_of_two(rank: int, folder: str) -> None:
    part = Rank(rank, 2, torch.device("cpu"), 0, Path(folder))
    model, batch = layers(), part.of(uneven(), 0)
    scores = model[1](Centred.apply(model[0](batch.x).square(), 5))
    loss = part.weighted(nn.functional.cross_entropy(scores, batch.y))
    loss.backward()
    total = part.combine(loss.detach(), model)  # type: ignore[arg-type]
    Rank.leave()
    if rank == 0:
        found = {
            "total": total,
            **{name: p.grad for name, p in model.named_parameters() if p.grad is not None},
        }
        save_file(found, Path(folder, "found.safetensors"))


def test_layers_that_look_at_the_whole_batch_get_its_gradient(tmp_path: Path) -> None:
    """Though slices are uneven, and gradients of all of them meet inside such a layer."""
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    found = load_file(tmp_path / "found.safetensors")
    model, batch = layers(), uneven()
    inner = model[0](batch.x).square()
    loss = nn.functional.cross_entropy(model[1](inner - inner.mean(0)), batch.y)
    loss.backward()
    torch.testing.assert_close(found.pop("total"), loss.detach())
    assert found.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("scratch", {"source": None}),
        ("gradual-unfreeze", {"kind": "cross-domain-task"}),
        ("lp-finetune", {}),
        ("dann", {}),
        ("nas-lite", {"budget": Budget(steps=20, batch_size=15, evaluations=2)}),
        ("partial-finetune", {"backbone": TINY, "overrides": {"unfreeze": "head"}}),
    ],
)
def test_methods(method: str, changes: dict[str, Any], tmp_path: Path) -> None:
    """Other classes in the target, a fit before the loop, several streams, a search, a frozen batch norm."""
    known = {"backbone": NORMLESS, "budget": UNEVEN}
    assert_alike(tiny_cell(method, **{**known, **changes}), tmp_path)


@pytest.mark.slow
def test_three_processes(tmp_path: Path) -> None:
    cell = tiny_cell(backbone=NORMLESS, budget=Budget(steps=4, batch_size=7, evaluations=1), source=None)
    assert_alike(cell, tmp_path, devices=3)


def test_nothing_to_share(tmp_path: Path) -> None:
    """What no loop trains is on one device, and says so."""
    record, _ = run(tiny_cell("linear-probe"), TWO, Artifacts(tmp_path))
    assert record.outcome.status == "done"
    assert (record.request.setting.devices, record.cost.devices) == (2, 1)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (tiny_cell(), "the batch norm 'backbone.net.bn1' would see one device's part of each batch"),
        (tiny_cell("proto-net"), "the loss of proto-net is not declared a mean over the items"),
        (tiny_cell(budget=Budget(batch_size=1)), "2 devices cannot share batches of 1"),
    ],
)
def test_what_cannot_be_shared_is_skipped_with_the_reason(cell: Cell, reason: str, tmp_path: Path) -> None:
    record, predictions = run(cell, TWO, Artifacts(tmp_path))
    assert record.outcome.status == "skipped"
    assert reason in record.outcome.reason
    assert not predictions
    assert not followers()


# A process dies ------------------------------------------------------------------------------------------


def followers() -> list[psutil.Process]:
    """The processes that train along with this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "bench.engine.cell.follower" in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_process_that_dies_ends_the_cell(tmp_path: Path) -> None:
    """In the midst of a stage that would take minutes."""
    cell = tiny_cell(backbone=NORMLESS, budget=Budget(steps=5000, batch_size=4, evaluations=1))
    steps: list[int] = []

    def progress(what: str, done: int, total: int) -> None:
        steps.append(done)
        if what == "source stage" and done == 3:
            followers()[0].kill()

    context = Context("tests", TWO, WHERE, Alone(tmp_path))
    record, _ = run_cell(cell, context, digests(cell.method), progress)
    assert record.outcome.status == "failed"
    assert "device 2 of 2: its process was killed by SIGKILL" in record.outcome.reason
    assert len(steps) < 10
    assert not followers()
    assert not torch.distributed.is_initialized()


STUCK = """
import os, queue, signal, time
from bench.engine.cell import leader
from bench.processes.local import LocalLauncher

leader.GRACE = 0.2
answers = queue.SimpleQueue()
other = LocalLauncher().launch(answers, "bench.engine.cell.follower")
leader.FollowerWatch(answers, [other]).start()
os.kill(other.pid, signal.SIGKILL)
time.sleep(60)
"""


def test_a_process_that_does_not_notice_ends_itself(tmp_path: Path) -> None:
    """As one that waits for others on an accelerator does not; whoever asked for the cell reads its log."""
    process = python("-c", STUCK, cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr.startswith("device 2 of 2: its process was killed by SIGKILL")


@pytest.mark.slow
def test_a_process_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says why. Here its cache is no folder, which the leading process has no need of any more."""
    cell = tiny_cell("lp-finetune", backbone=NORMLESS, budget=UNEVEN)
    (tmp_path / "file").write_text("")

    def ruin(what: str, done: int, total: int) -> None:
        if what == "source fit":
            monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))

    context = Context("tests", TWO, WHERE, Artifacts(tmp_path / "a"))
    record, _ = run_cell(cell, context, digests(cell.method), ruin)
    assert record.outcome.status == "failed"
    assert "device 2 of 2: its process ended with exit code 1: " in record.outcome.reason
    assert "cannot write to the cache" in record.outcome.reason


@pytest.mark.slow
def test_a_leading_process_that_dies_leaves_nobody(tmp_path: Path) -> None:
    """A worker of a run is killed; the run begins its cell anew, and nobody of the first team is left."""
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.format(devices=2, steps=300))
    done = threading.Event()
    killed: list[psutil.Process] = []

    def kill() -> None:
        while not done.is_set() and not killed:
            for follower in followers():
                killed.extend([follower, follower.parent() or follower])
                time.sleep(0.5)
                killed[1].kill()
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    process = bench("run", "--suite", str(suite), "--device", "cpu", cwd=tmp_path)
    done.set()
    killer.join()
    assert process.returncode == 0, process.stderr
    assert len(killed) == 2
    assert not any(gone.is_running() for gone in killed)


# Interrupted ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_team_goes_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same, bit for bit, as without an interruption."""
    cell = tiny_cell(backbone=NORMLESS, budget=UNEVEN)
    whole, expected = run(cell, TWO, Artifacts(tmp_path / "whole"), tmp_path / "none")
    monkeypatch.setattr("bench.engine.training.checkpoints.EVERY", 0.0)
    parts = Artifacts(tmp_path / "parts")
    context = Context("tests", TWO, WHERE, parts, tmp_path / "checkpoints")
    first, _ = run_cell(cell, context, digests(cell.method), interrupt)
    assert first.outcome.reason == "Interruption"
    record, found = run(cell, TWO, parts, tmp_path / "checkpoints")
    assert record.outcome.status == "done"
    assert record.evaluations == whole.evaluations
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


# What a method declares ----------------------------------------------------------------------------------


def per_sample_loss() -> list[str]:
    """Methods that say that several devices may share their batches."""
    found = [(name, configure(name, {})) for name in sorted(method_modules())]
    return [name for name, method in found if isinstance(method, GradientMethod) and method.per_sample_loss]


@pytest.mark.parametrize("name", per_sample_loss())
@pytest.mark.parametrize("stage", ["source", "target"])
def test_a_loss_that_is_declared_divisible_is(name: str, stage: Any) -> None:
    """The slices' gradients, weighted by their shares, are the whole batch's."""
    method = configure(name, {})
    assert isinstance(method, GradientMethod)
    torch.manual_seed(0)
    backbone = create_backbone(NORMLESS)
    if method.split_point(backbone) is not None:
        # As if what is below the cut were nothing.
        backbone.input_shape, backbone.channel_axis = (3, 32, 32), 1
    task = Task(stage, CLASSES, 10, 1)
    try:
        model = method.build(backbone, task).train()
    except CellSkipped as reason:
        pytest.skip(str(reason))
    x = torch.randn(10, 3, 32, 32)
    y = torch.arange(10) % len(CLASSES)
    replayed = stage == "target" and Access.SOURCE_REPLAY in method.access
    batch = Batch(
        x,
        y,
        x.flip(0) if replayed else None,
        y.flip(0) if replayed else None,
        torch.randn_like(x) if Access.TARGET_IMAGES in method.access else None,
        target_second=torch.randn_like(x) if method.second_view else None,
    )
    with stage_items(Labelled(x, y, torch.arange(len(x)))) as items:
        method.begin(model, items, task)

    def gradients(*parts: slice) -> list[torch.Tensor]:
        state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        total = [torch.zeros_like(p) for p in model.parameters()]
        for part in parts:
            model.load_state_dict(state)  # Each process takes the step from the same state.
            model.zero_grad()
            streams = {name: rows for name, rows in vars(batch).items() if rows is not None}
            mine = Batch(**{name: rows[part] for name, rows in streams.items()})
            (method.loss(model, mine, 0.5) * len(mine.x) / len(batch.x)).backward()
            for so_far, p in zip(total, model.parameters(), strict=True):
                so_far.add_(0 if p.grad is None else p.grad)
        model.load_state_dict(state)
        return total

    whole = gradients(slice(0, 10))
    assert any(gradient.abs().sum() > 0 for gradient in whole)
    for ours, theirs in zip(gradients(slice(0, 7), slice(7, 10)), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_new_loss_is_not_taken_to_be_divisible() -> None:
    class Coupled(GradientMethod):
        def loss(self, model: Model, batch: Batch, progress: float) -> torch.Tensor:
            return model(batch.x).std()

    class Declared(Coupled):
        per_sample_loss = True

        def loss(self, model: Model, batch: Batch, progress: float) -> torch.Tensor:
            return model(batch.x).mean()

    class Again(Declared):
        def loss(self, model: Model, batch: Batch, progress: float) -> torch.Tensor:
            return model(batch.x).std()

    class Heir(Declared):
        pass

    assert [kind.per_sample_loss for kind in (Coupled, Declared, Again, Heir)] == [False, True, False, True]


def test_several_updates_are_not_shared_by_devices() -> None:
    """Their gradients are not combined, whatever is declared: each device would take steps of its own."""

    class Twice(GradientMethod):
        per_sample_loss = True

        def updates(self, model: Model, batch: Batch, progress: float) -> Iterator[Update]:
            for _ in range(2):
                yield self.loss(model, batch, progress), model.parameters()

    class Heir(Twice):
        per_sample_loss = True

    assert not Twice.per_sample_loss
    assert not Heir.per_sample_loss
    assert not load_method("mcd").per_sample_loss  # type: ignore[attr-defined]


# Slices, batch norm, devices -----------------------------------------------------------------------------


@given(st.integers(1, 500), st.integers(1, 64))
def test_slices_cover_a_batch_evenly(images: int, size: int) -> None:
    bounds = [slice_bounds(images, rank, size) for rank in range(size)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == images
    assert all(end == begin for (_, end), (begin, _) in pairwise(bounds))
    lengths = [end - begin for begin, end in bounds]
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) > 0 or images < size


def test_batch_norm_in_training_mode_is_refused_unless_it_is_synchronised() -> None:
    network = create_backbone(TINY)
    x = torch.randn(4, 3, 32, 32)
    with pytest.raises(CellSkipped, match=r"the batch norm 'net\.bn1' would see"):
        check_statistics(network.train())
    check_statistics(network.eval())
    before, names = network(x), [*network.state_dict()]
    changed = synchronised(network)
    assert [*changed.state_dict()] == names
    torch.testing.assert_close(changed(x), before)
    check_statistics(changed.train())
    assert any(isinstance(module, nn.SyncBatchNorm) for module in changed.modules())
    # Without a team it is the batch norm that it was.
    torch.manual_seed(0)
    torch.testing.assert_close(changed(x), create_like(TINY, changed)(x))


def create_like(name: str, network: nn.Module) -> nn.Module:
    """Another network of that name with the same state, in training mode."""
    other = create_backbone(name)
    other.load_state_dict(network.state_dict())
    return other.train()


@pytest.mark.parametrize(
    ("workers", "devices", "per_cell", "cells", "expected"),
    [
        (4, [0, 1], 1, 2, [[0], [1], [0], [1]]),
        (4, [0, 1], 1, 1, [[0], [1]]),
        (1, [0, 1], 1, 2, [[0]]),
        (3, [0, 1, 2, 3], 2, 1, [[0, 1], [2, 3]]),
        (2, [0, 1, 2], 2, 1, [[0, 1]]),
        (2, [1], 1, 1, [[1]]),
        (2, [0], 2, 1, []),
        (3, [], 2, 1, [[], [], []]),
    ],
)
def test_devices_assigned_by_hand(
    workers: int, devices: list[int], per_cell: int, cells: int, expected: list[list[int]]
) -> None:
    assert assign_devices(workers, devices, per_cell, cells) == expected


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 8), st.integers(1, 8))
def test_no_device_has_more_cells_than_it_may(workers: int, count: int, per_cell: int, cells: int) -> None:
    found = assign_devices(workers, range(count), per_cell, cells)
    load = [sum(device in place for place in found) for device in range(count)]
    assert max(load) <= cells
    assert all(len(place) == per_cell for place in found)
    assert len(found) == min(workers, (count // per_cell) * cells)
    used = load[: count // per_cell * per_cell]
    assert not used or max(used) - min(used) <= 1


def test_each_worker_keeps_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers on two devices; one that died leaves its place to the next."""
    monkeypatch.setenv("BENCH_QUICK_LOG", str(tmp_path / "worked.txt"))
    monkeypatch.setenv("BENCH_QUICK_DEVICES", "2")
    cells = [quick_cell(0, do="die once"), *(quick_cell(seed, seconds=0.1) for seed in range(1, 16))]
    store = Store(tmp_path)
    store.prepare()
    pool = quick_pool(7, cells_per_device=2)
    try:
        pool.prepare(["none"], print)
        assert pool.count == 4
        pool.run(cells, "quick", {"quick": TODAY}, store, RecordingWatcher())
    finally:
        pool.close()
    assert len(store.keys()) == 16
    bound: dict[str, set[str]] = {}
    for line in (tmp_path / "worked.txt.devices").read_text().splitlines():
        process, device = line.split()
        bound.setdefault(process, set()).add(device)
    assert len(bound) == 5
    assert all(len(devices) == 1 for devices in bound.values())
    assert sorted(Counter(min(devices) for devices in bound.values()).values()) == [2, 3]


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    check_several(cpu, 2, 2)
    with pytest.raises(
        UserError, match="= 3 processes with 2 threads each, and this machine has 4 processors"
    ):
        check_several(cpu, 3, 2)
    with pytest.raises(UserError, match=r"'cuda:1' is one: name the kind alone, as in --device cuda"):
        check_several(torch.device("cuda:1"), 2, 1)
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    check_several(torch.device("cuda"), 2, 100)
    with pytest.raises(UserError, match="devices_per_cell = 3, and this machine has 2 of kind cuda"):
        check_several(torch.device("cuda"), 3, 1)
    with pytest.raises(CellSkipped, match="processes with 2 threads each"):
        resolve(tiny_cell(setting=RequestedSetting(threads=2)), Setting(devices=3))
    with pytest.raises(CellSkipped, match=r"torch\.compile"):
        resolve(tiny_cell(setting=RequestedSetting(compile=True)), TWO)


SUITE = """\
description = "two devices"
dataset = "emoji-home"
domains = ["google", "twitter"]
classes = 3
image_size = 32
backbones = ["test_efficientnet_ln.untrained"]
methods = ["full-finetune"]
budget = {{ steps = {steps}, batch_size = 15, evaluations = 1 }}
[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0]
[executor]
devices_per_cell = {devices}
"""


def test_one_line_before_any_work(tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.format(devices=64, steps=2))
    process = bench("run", "--suite", str(suite), "--device", "cpu", cwd=tmp_path)
    assert process.returncode == 2
    assert "error: devices_per_cell = 64 processes with" in process.stderr
    assert "Traceback" not in process.stderr
    assert not [*(tmp_path / "results").rglob("*.json")]
    for options, complaint in (
        (("--cells-per-device", "0"), "'--cells-per-device': 0 is not in the range"),
        (("--cells-per-device", "2"), "a cell with devices_per_cell = 64 cannot share them with others"),
    ):
        process = bench("run", "--suite", str(suite), *options, cwd=tmp_path)
        assert process.returncode == 2
        assert complaint in process.stderr
        assert process.stderr.count("\n") == 1


def test_what_does_not_go_together() -> None:
    with pytest.raises(UserError, match="leave one of the two at 1"):
        create("local", ExecutorOptions(resources=Resources(devices_per_cell=2, cells_per_device=2)))
    assert Resources(cpus_per_cell=5, devices_per_cell=2).threads_per_device == 2
    assert Resources(devices_per_cell=2).threads_per_device == 1


@pytest.mark.slow
def test_a_run_of_cells_on_two_devices(tmp_path: Path) -> None:
    """From the suite's file to the records, through a worker."""
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.format(devices=2, steps=2))
    process = bench("run", "--suite", str(suite), "--device", "cpu", cwd=tmp_path)
    if (psutil.cpu_count() or 1) < 2:
        assert "devices_per_cell = 2 processes" in process.stderr
        return
    assert process.returncode == 0, process.stderr
    (record,) = Store(tmp_path / "results" / "mine").records()
    assert record.outcome.status == "done", record.outcome
    assert (record.request.setting.devices, record.cost.devices) == (2, 2)


def test_a_single_process_has_no_group(tmp_path: Path) -> None:
    run = steps_of(tiny_cell(), tmp_path)
    assert run.group.leads
    with run.group.stage("source", None) as part:  # type: ignore[arg-type]
        assert (part.rank, part.size) == (0, 1)
