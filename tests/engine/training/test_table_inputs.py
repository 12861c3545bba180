"""Inputs of tables: scaled by the rows that the source is trained on, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bench.data import catalog
from bench.data.card import Card
from bench.data.dataset import open_dataset
from bench.data.splits import TRAIN, subset
from bench.engine.cell.features import DomainInputs
from bench.engine.training.inputs.base import InputsRequest
from bench.engine.training.inputs.make import INPUTS
from bench.engine.training.inputs.table import OUTERMOST, TableInputs, fitted
from bench.networks.backbones.create import create_backbone
from bench.spec.cell import Cell
from tests.support.cells import steps_of
from tests.support.tabular import table_card, tabular_cell


def inputs(decoded: np.ndarray, reference: np.ndarray) -> TableInputs:
    request = InputsRequest(
        *(decoded, decoded.shape[1], "mlp.untrained", "none", torch.device("cpu"), False),
        reference=lambda: reference,
    )
    found = INPUTS["table"](request)
    assert isinstance(found, TableInputs)
    return found


def test_scores_by_hand() -> None:
    """Five values: ranks 0, 1/4, ... 1, cut at both ends, as normal scores of unit variance."""
    values = np.array([10.0, 20, 30, 40, 50])
    scores = norm.ppf([OUTERMOST, 0.25, 0.5, 0.75, 1 - OUTERMOST])
    np.testing.assert_allclose(fitted(values).scaled(values), scores / scores.std(), rtol=1e-5)
    between = fitted(values).scaled(np.array([25.0, -1e30, np.nan, np.inf]))
    expected = norm.ppf([0.375, OUTERMOST]) / scores.std()
    np.testing.assert_allclose(between, [*expected, 0, 0], rtol=1e-5)


def test_ties_have_their_middle_rank() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    scaled = fitted(values).scaled(np.array([0.0, 1.0]))
    np.testing.assert_allclose(scaled, [-1, 1], atol=0.02)


@pytest.mark.parametrize("column", [[7.0, 7, 7], [np.nan, np.nan, np.nan]])
def test_what_says_nothing_is_zero(column: list[float]) -> None:
    np.testing.assert_array_equal(fitted(np.array(column)).scaled(np.array([7.0, 8, np.nan])), 0)


@pytest.fixture
def card(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """Card of a table, which cells find by its name."""
    found = table_card()
    monkeypatch.setattr(catalog, "CARDS", tmp_path)
    monkeypatch.setattr(catalog, "_packaged", lambda _: found)
    (tmp_path / f"{found.name}.toml").touch()
    return found


def test_only_training_rows_of_the_source_scale(card: Card, tmp_path: Path) -> None:
    run = steps_of(tabular_cell(card, "full-finetune", "mlp.untrained", 2), tmp_path)
    dataset, network = open_dataset(card), create_backbone("mlp.untrained", 8)
    opened = DomainInputs(run.env, dataset)
    rows = subset(dataset, "small", ("paid", "late"), TRAIN).rows
    for domain in ("small", "large"):
        decoded = dataset.decoded(domain, 8)
        expected = inputs(decoded, dataset.decoded("small", 8)[rows])
        found = opened.get(domain, network, None, 0)
        every = np.arange(len(decoded))
        torch.testing.assert_close(found.take(every), expected.take(every), rtol=0, atol=0)
    source = opened.get("small", network, None, 0).take(rows)
    torch.testing.assert_close(source.mean(0), torch.zeros(8), atol=1e-5, rtol=0)


def test_kept_features_are_of_the_rows_that_scale(card: Card, tmp_path: Path) -> None:
    """A cell that holds no row out is scaled by all of them, whatever one that does has kept before it."""
    whole = tabular_cell(card, "linear-probe", "mlp.untrained", 0, transductive=True, unsplit=True)
    split = tabular_cell(card, "linear-probe", "mlp.untrained", 0)

    def features(*cells: Cell) -> torch.Tensor:
        """Of the last cell's source rows, where the cells ran one after the other."""
        folder = tmp_path / "-".join(str(cell.unsplit) for cell in cells)
        for cell in cells:
            run = steps_of(cell, folder)
            run.run()
        found = run.partitions.of(run.stages[0].labelled).inputs
        return found.take(np.arange(len(found)))

    assert not torch.equal(features(whole), features(split))
    torch.testing.assert_close(features(split, whole), features(whole), rtol=0, atol=0)


def test_a_strong_view_swaps_values_within_a_column() -> None:
    decoded = np.arange(400, dtype=np.float32).reshape(100, 4)
    found = inputs(decoded, decoded)
    rows = np.arange(0, 100, 2)
    plain, strong = found.take(rows), found.take(rows, 5, strong=True)
    assert torch.equal(strong, found.take(rows, 5, strong=True))
    assert torch.equal(plain, found.take(rows, 5))
    assert 0.2 < (strong != plain).float().mean() < 0.4
    for column in range(4):
        assert set(strong[:, column].tolist()) <= set(plain[:, column].tolist())
