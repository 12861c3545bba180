"""Every registered method on rows of tables and on sequences: it answers in full, or says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import CellSkipped
from bench.data import catalog
from bench.data.card import Card
from bench.method.registry import load_method, method_modules
from tests.support.cells import steps_of
from tests.support.tabular import CARDS, NETWORKS, tabular_cell

METHODS = sorted(method_modules())
LACKING = {
    "vpt": "vision transformer",
    "co-tuning": "pretrained classifier",
    "stochnorm": "batch norm",
    "adabn": "batch norm",
}
"""Methods that need what these networks lack, and words of the reason."""
NAMED = [(kind, name) for kind, names in NETWORKS.items() for name in names]


@pytest.fixture(params=NAMED, ids=[name for _, name in NAMED])
def asked(
    request: pytest.FixtureRequest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Card, str]:
    """A card among those of a catalog of its own, and a network."""
    modality, network = request.param
    card = CARDS[modality]()
    monkeypatch.setattr(catalog, "CARDS", tmp_path)
    monkeypatch.setattr(catalog, "_packaged", lambda _: card)
    (tmp_path / f"{card.name}.toml").touch()
    return card, network


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("method", METHODS)
def test_answers_or_says_why_not(asked: tuple[Card, str], artifacts: Path, method: str, shots: int) -> None:
    card, network = asked
    run = steps_of(tabular_cell(card, method, network, shots), artifacts)
    try:
        predictions = run.run()
    except CellSkipped as skipped:
        reason = str(skipped)
        assert "\n" not in reason
        if shots and not load_method(method).unavailable():
            assert LACKING.get(method, "makes no use of labelled") in reason
        return
    labels = predictions["target-test/labels"]
    assert {0, 1} == set(labels.tolist())
    logits = predictions[f"look{run.selected['last']}/target-test/logits"]
    assert logits.shape == (len(labels), 2)
    assert np.isfinite(logits).all()
    assert run.evaluations
