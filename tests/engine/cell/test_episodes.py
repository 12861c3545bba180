"""Cells whose evaluation is on episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.api import Model
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.data.episodes import draw_episodes
from bench.data.splits import Subset, concatenate
from bench.engine.cell.execution import EXPENSIVE
from bench.engine.evaluation import predict
from bench.engine.evaluation.partitions import View
from bench.engine.training.inputs.base import KeptInputs
from bench.method.registry import configure, method_modules
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.spec.cell import Cell, Episodic
from tests.support.cells import answer, assert_equal, tiny_cell

FORM = Episodic(way=3, queries=2, count=20, steps=2)


def episodic(method: str, count: int = 20) -> Cell:
    return tiny_cell(method, shots=2, episodes=FORM.model_copy(update={"count": count}))


@pytest.mark.parametrize("method", sorted(method_modules()))
def test_every_method_is_asked_the_same_episodes(method: str, tmp_path: Path) -> None:
    if lacks := configure(method, {}).unavailable():
        pytest.skip(lacks)
    record, predictions = answer(episodic(method), tmp_path)
    if record.outcome.status == "skipped":
        assert method in record.outcome.reason
        pytest.skip(record.outcome.reason)
    assert record.outcome.status == "done", record.outcome
    count = record.episodes
    assert count in (FORM.count, FORM.count // EXPENSIVE)
    truth = draw_episodes(open_dataset(load_card("emoji-home")), record.request.cell.scenario, count)
    queries = concatenate([episode.queries for episode in truth])
    assert predictions["target-test/items"].tolist() == queries.rows.tolist()
    assert predictions["target-test/labels"].tolist() == queries.labels.tolist()
    assert predictions["look0/target-test/logits"].shape == (count * FORM.way * FORM.queries, FORM.way)
    assert record.selected == {"last": 0}
    assert record.cost.items_seen > 0


@pytest.mark.parametrize("method", ["linear-probe", "maml", "full-finetune"])
def test_an_episode_leaves_no_trace_on_the_next(method: str, tmp_path: Path) -> None:
    """The first of many is what it is alone."""
    one, many = (
        answer(episodic(method, count), tmp_path)[1]["look0/target-test/logits"] for count in (1, 20)
    )
    assert len(one) < len(many)
    np.testing.assert_array_equal(one, many[: len(one)])


def test_the_same_twice(tmp_path: Path) -> None:
    first, again = (answer(episodic("full-finetune"), tmp_path / name)[1] for name in "ab")
    assert_equal(first, again)


def test_in_the_frame(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    for cell in (episodic("linear-probe"), tiny_cell("linear-probe", shots=2)):
        store.write(*answer(cell, tmp_path))
    frame = load_frame(store).set_index("shots")
    assert sorted(frame.index) == ["2", "2, 3-way"]
    row = frame.loc["2, 3-way"]
    assert row["accuracy last"] == pytest.approx(100 * row["predictions"].correct["last"].mean())
    assert row["low"] < row["accuracy last"] < row["high"]


def test_a_question_without_episodes_keeps_its_key() -> None:
    """What was recorded before there were episodes is still found."""
    assert tiny_cell("linear-probe").key == "49bd6aac61b219c7"
    assert episodic("linear-probe").key != tiny_cell("linear-probe").key


class Norm(nn.Module):
    """Batch norm of two features that are logits, beside one that is 8."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.norm(x), torch.full_like(x[:, :1], 8.0)], 1)


@pytest.mark.parametrize("transductive", [False, True])
def test_batch_norm_is_inductive_unless_asked(transductive: bool) -> None:
    """Running statistics leave (0, 2), (4, 6) as they are; their own make (-1, -1), (1, 1) of them."""
    head = Norm()
    x = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    everything = Subset(np.arange(2), np.arange(2), np.arange(2, dtype=np.int32))
    seen = predict.outputs(
        configure("full-finetune", {}),
        Model(nn.Identity(), head),
        View(KeptInputs(x), everything),
        "fp32",
        batch_statistics=transductive,
    )
    logits = 8.0 + seen.logits[:, :2].numpy()
    expected = [[-1, -1], [1, 1]] if transductive else x.tolist()
    np.testing.assert_allclose(logits.astype(float), expected, atol=1e-2)
    assert head.norm.running_mean is not None
    assert head.norm.running_mean.tolist() == [0, 0], "running statistics stay as they are"
    assert not head.norm.training
