"""Boosted trees as tensors: scikit-learn's answers, and a place in a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from bench.api import Trees
from bench.data import catalog
from tests.support.cells import assert_equal, steps_of
from tests.support.tabular import credit_csv, table_card, tabular_cell


@pytest.mark.parametrize("classes", [2, 3])
def test_tensors_answer_as_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    x, unseen = random.normal(size=(2, 300, 5)).astype(np.float32)
    y = (x[:, 0] * classes + x[:, 1] > 0).astype(int) + (classes == 3) * (x[:, 2] > 0.5)
    grown = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=0).fit(x, y)
    trees = Trees(20, classes)
    trees.take_over(grown)
    again = Trees(20, classes)
    again.load_state_dict(trees.state_dict())
    for rows in (x, unseen):
        probabilities = again(torch.from_numpy(rows)).softmax(1).numpy()
        np.testing.assert_allclose(probabilities, grown.predict_proba(rows), atol=1e-5)


def test_a_cell_of_trees(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late payers owe more in both domains, by another scale: within the source's, trees find them."""
    card = table_card(credit_csv(200))
    monkeypatch.setattr(catalog, "CARDS", tmp_path)
    monkeypatch.setattr(catalog, "_packaged", lambda _: card)
    (tmp_path / f"{card.name}.toml").touch()
    cell = tabular_cell(card, "boosted-trees", "mlp.untrained", "all")
    run = steps_of(cell, tmp_path / "one")
    predictions = run.run()
    logits = predictions[f"look{run.selected['last']}/target-test/logits"]
    assert (logits.argmax(1) == predictions["target-test/labels"]).mean() > 0.8
    assert_equal(predictions, steps_of(cell, tmp_path / "two").run())
