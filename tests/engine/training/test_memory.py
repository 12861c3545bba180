"""Memory that is out: batches are halved, in training and in evaluation, and the record says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.api import Batch, GradientMethod, Model, Task
from bench.core.errors import CellFailed
from bench.data.splits import Subset
from bench.engine.training.batches import Batches, Endless
from bench.engine.training.inputs.base import KeptInputs
from bench.engine.training.loop import Hooks, Schedule, Training
from bench.method.registry import method_modules
from bench.processes.memory import in_parts
from tests.support.cells import answer, tiny_cell
from tests.support.checkout import install

ROOM = 5
"""Images that the small memory of these tests holds."""
OUT = torch.OutOfMemoryError("tried to allocate 2.00 GiB")


class Small(nn.Module):
    """A layer that holds `ROOM` images in training."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > ROOM:
            raise OUT
        return x


class Turns(Model):
    """Remembers how many steps it has taken."""

    turn = 0

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.turn)

    def set_extra_state(self, state: Tensor) -> None:
        self.turn = int(state)


class Counting(GradientMethod):
    """Cross-entropy; counts its steps and notes the images of each pass that was held."""

    per_sample_loss = True
    sizes: ClassVar[list[int]] = []

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        assert isinstance(model, Turns)
        model.turn += 1
        loss = nn.functional.cross_entropy(model(batch.x), batch.y)
        self.sizes.append(len(batch.x))
        return loss


class Coupled(GradientMethod):
    """Its loss compares the images of a batch."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        return model(batch.x).std(0).sum()


def network(small: bool, norm: bool = False) -> Turns:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), *([nn.BatchNorm1d(4)] if norm else []), *([Small()] if small else [])]
    return Turns(nn.Sequential(*layers), nn.Linear(4, 2))


def run(method: GradientMethod, net: Model, batch_size: int = 16, steps: int = 3) -> tuple[int, float]:
    """(parts, mean loss) of a stage on all streams."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    data = Subset(np.arange(40), np.arange(40) % 2, np.arange(40, dtype=np.int32))
    streams = [Endless(KeptInputs(x), data, batch_size, seed) for seed in range(3)]
    losses: list[float] = []
    task = Task("source", ("a", "b"), batch_size, 0)
    parts = Training(
        method,
        net,
        Batches(*streams),
        Schedule(task, steps, 1, "fp32"),
        Hooks(lambda step, loss: losses.append(loss)),
    ).run()
    return parts, losses[0]


def test_a_halved_batch_has_the_gradient_of_the_whole() -> None:
    Counting.sizes.clear()
    whole, halved = network(small=False), network(small=True)
    assert run(Counting(), whole) == (1, pytest.approx(0.0, abs=10))
    assert Counting.sizes == [16] * 3
    Counting.sizes.clear()
    expected = run(Counting(), network(small=False))[1]
    Counting.sizes.clear()
    parts, loss = run(Counting(), halved)
    # 16, then 8, do not fit; 4 do.
    assert parts == 4
    assert Counting.sizes == [4] * 4 * 3
    assert loss == pytest.approx(expected, rel=1e-5)
    for mine, theirs in zip(halved.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert halved.turn == whole.turn == 3, "parts and failed attempts are no steps of their own"


def test_uneven_parts_count_by_their_images() -> None:
    whole, halved = network(small=False), network(small=True)
    Counting.sizes.clear()
    expected = run(Counting(), whole, batch_size=7)[1]
    Counting.sizes.clear()
    parts, loss = run(Counting(), halved, batch_size=7)
    assert (parts, Counting.sizes[:2]) == (2, [4, 3])
    assert loss == pytest.approx(expected, rel=1e-5)
    for mine, theirs in zip(halved.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_failed_attempt_leaves_no_statistics() -> None:
    """Batch norm comes before the layer that fails; its statistics are of the four parts alone."""
    net = network(small=True, norm=True)
    frozen = type("Still", (Counting,), {"schedule": lambda self, progress, recipe: 0.0})()
    assert run(frozen, net, steps=1)[0] == 4
    assert int(net.state_dict()["backbone.1.num_batches_tracked"]) == 4


def test_a_loss_that_couples_images_fails_with_a_line() -> None:
    assert not Coupled.per_sample_loss
    assert Counting.per_sample_loss
    with pytest.raises(CellFailed, match=r"out of memory at batches of 16, .*`per_sample_loss`.*2\.00 GiB"):
        run(Coupled(), network(small=True))


def test_what_never_fits_fails_with_a_line() -> None:
    net = network(small=False)
    net.backbone.append(type("None_", (Small,), {"forward": _never})())
    with pytest.raises(CellFailed, match="batches of 16 in 8 parts: use a smaller image_size"):
        run(Counting(), net)


def _never(self: nn.Module, x: Tensor) -> Tensor:
    raise OUT


def test_other_errors_pass() -> None:
    class Wrong(Counting):
        def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(Wrong(), network(small=False))


def test_parts_of_an_evaluation() -> None:
    asked: list[int] = []

    def f(x: Tensor) -> Tensor:
        asked.append(len(x))
        if len(x) > ROOM:
            raise MemoryError
        return x * 2

    x = torch.arange(23.0)
    assert torch.equal(torch.cat(in_parts(f, x)), x * 2)
    assert asked == [23, 12, 6, 3, 3, 3, 3, 3, 3, 3, 2], "what did not fit once is not tried again"
    assert len(in_parts(f, x[:0])) == 1, "of no rows, the result for none"

    def wrong(x: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_parts(wrong, x)


METHOD = """
import torch
from bench.api import GradientMethod

class Hungry(GradientMethod):
    room: int = 5

    def build(self, backbone, task):
        modules = super().build(backbone, task)
        modules.backbone.register_forward_pre_hook(self.check)
        return modules

    def check(self, module, inputs):
        if len(inputs[0]) > self.room:
            raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")
"""


@pytest.fixture
def registry() -> Iterator[None]:
    """What is installed is looked for anew, in this test and after it."""
    method_modules.cache_clear()
    yield
    method_modules.cache_clear()


@pytest.mark.usefixtures("registry")
def test_a_cell_says_that_its_batches_were_halved(tmp_path: Path, monkeypatch: Any) -> None:
    """Of a cell whose network holds five images, in training and in evaluation."""
    install(tmp_path / "site", "hungry = hungry_method:Hungry", hungry_method=METHOD)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    record, _ = answer(tiny_cell("hungry"), tmp_path / "artifacts")
    assert record.outcome.status == "done", record.outcome.log
    wanted = [
        f"memory was out: the {stage} stage took its batches of 16 in 4 parts, gradients summed; "
        "batch norm normalised by 4 at once"
        for stage in ("source", "target")
    ]
    assert list(record.warnings) == wanted
    # Found among the shared artifacts, the source stage says so again.
    again, _ = answer(tiny_cell("hungry", shots=1), tmp_path / "artifacts")
    assert again.cost.stages["source"].shared_seconds
    assert wanted[0] in again.warnings
    plenty, _ = answer(tiny_cell("hungry", overrides={"room": 10**6}), tmp_path / "artifacts")
    assert plenty.warnings == ()
