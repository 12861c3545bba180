"""Test images as a stream: each once, in random order, on a copy of the network, never ahead of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.api import GradientMethod, Model
from bench.core.errors import UserError
from bench.data.splits import Subset
from bench.engine.evaluation import predict
from bench.engine.evaluation.partitions import View
from bench.spec.cell import Stream
from tests.support.cells import answer, steps_of, tiny_cell


class Numbers:
    """Items that are their own row's number."""

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        assert augment_seed is None, "test images are not augmented"
        return torch.from_numpy(rows).float()[:, None]


COUNT = 150
ITEMS = View(
    Numbers(), Subset(np.arange(COUNT), np.zeros(COUNT, dtype=np.int64), np.arange(COUNT, dtype=np.int32))
)


def network() -> Model:
    head = nn.Linear(1, 2, bias=False)
    nn.init.ones_(head.weight)
    return Model(nn.Identity(), head)


class Recording(GradientMethod):
    """Answers an item by its number, moves its weights, and writes down what it was given."""

    seen: list[list[int]]

    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        assert torch.is_grad_enabled()
        assert not model.training
        for x in batches:
            self.seen.append(x[:, 0].int().tolist())
            logits, features = self.predict(model, x)
            yield torch.cat([x, logits[:, :1] * 0], 1), features
            with torch.no_grad():
                model.head.weight.add_(1)


class Greedy(Recording):
    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for x in list(batches):
            yield self.predict(model, x)


class Short(Recording):
    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.predict(model, next(batches))


def test_each_item_once_in_random_order_and_answered_in_its_place() -> None:
    model, method = network(), Recording(seen=[])
    before = model.head.weight.clone()
    outputs = predict.streamed(method, model, ITEMS, "fp32", seed=7)
    order = [number for batch in method.seen for number in batch]
    assert sorted(order) == list(range(COUNT))
    assert order != list(range(COUNT))
    assert [len(batch) for batch in method.seen] == [64, 64, 22]
    assert (outputs.logits[:, 0] - outputs.logits[:, 1]).tolist() == list(range(COUNT))
    assert outputs.features[:, 0].tolist() == list(range(COUNT))
    assert torch.equal(model.head.weight, before), "what the stream does stays in its copy"

    again, other = Recording(seen=[]), Recording(seen=[])
    predict.streamed(again, model, ITEMS, "fp32", seed=7)
    predict.streamed(other, model, ITEMS, "fp32", seed=8)
    assert again.seen == method.seen
    assert other.seen != method.seen


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [2]), (64, [64]), (65, [65]), (66, [64, 2]), (129, [64, 65])]
)
def test_no_image_comes_last_alone(count: int, sizes: list[int]) -> None:
    method = Recording(seen=[])
    outputs = predict.streamed(method, network(), ITEMS.take(np.arange(count)), "fp32", seed=7)
    assert [len(batch) for batch in method.seen] == sizes
    assert (outputs.logits[:, 0] - outputs.logits[:, 1]).tolist() == list(range(count))


def test_a_stream_of_classes_one_after_the_other() -> None:
    labels = np.arange(COUNT) % 3
    items = View(Numbers(), Subset(ITEMS.subset.rows, labels, ITEMS.subset.groups))
    method, form = Recording(seen=[]), Stream(batch=40, order="by-class")
    outputs = predict.streamed(method, network(), items, "fp32", 7, form)
    assert [len(batch) for batch in method.seen] == [40, 40, 40, 30]
    order = [number for batch in method.seen for number in batch]
    assert (np.diff(labels[order]) >= 0).all()
    assert order[:50] != sorted(order[:50]), "in random order within a class"
    assert (outputs.logits[:, 0] - outputs.logits[:, 1]).tolist() == list(range(COUNT))


@pytest.mark.parametrize(
    ("method", "said"), [(Greedy(seen=[]), "before it has answered"), (Short(seen=[]), "every image")]
)
def test_a_stream_is_not_looked_ahead_in_or_left(method: Recording, said: str) -> None:
    with pytest.raises(UserError, match=said):
        predict.streamed(method, network(), ITEMS, "fp32", seed=0)


def test_a_method_that_streams_adapts_and_its_network_stays(tmp_path: Path) -> None:
    record, _ = answer(tiny_cell("tent", shots=0), tmp_path)
    assert record.outcome.status == "done", record.outcome.reason
    assert record.adapts
    run = steps_of(tiny_cell("tent", shots=0), tmp_path)
    run.run()
    assert run.evaluations == record.evaluations, "the same stream again"
    plain, _ = answer(tiny_cell("full-finetune", shots=0), tmp_path)
    shared = record.cost.stages["source"].shared_seconds or plain.cost.stages["source"].shared_seconds
    assert shared, "both have one source stage"
    assert record.discrepancy_before == plain.discrepancy_before, "nothing has adapted before training"
    for mine, theirs in zip(record.evaluations, plain.evaluations, strict=True):
        assert mine.accuracy["source-validation"] == theirs.accuracy["source-validation"]
