"""Every registered method on texts: it answers in full, or is skipped with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import CellSkipped
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.method.batch import Access
from bench.method.registry import load_method, method_modules
from tests.support.cells import refusal, steps_of, usual_shots
from tests.support.texts import text_cell, write_texts

METHODS = sorted(method_modules())
SKIPPED = {
    "vpt": "vision transformer",
    "co-tuning": "classifier that it was pretrained with",
    "mixup": "something in between",
    "boosted-trees": "rows of tables",
    "masked-pretraining": "network of letters",
}
"""Methods that need what texts or their encoder lack, and words of the reason."""
CASES = [
    pytest.param(method, shots, marks=() if shots == usual_shots(method) else pytest.mark.slow)
    for method in METHODS
    for shots in (0, 2)
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "words.csv")


@pytest.mark.parametrize(("method", "shots"), CASES)
def test_answers_on_texts_or_says_why_not(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, shots: int
) -> None:
    monkeypatch.setenv("BENCH_OWN_DATA", str(table))
    several = Access.SOURCE_DOMAINS in load_method(method).needs
    cell = text_cell(table, method, shots, ("notes", "posts") if several else "notes")
    run = steps_of(cell, tmp_path)
    reason, predictions = "", {}
    try:
        predictions = run.run()
    except CellSkipped as skipped:
        reason = str(skipped)
    if reason:
        assert reason == refusal(cell) or SKIPPED.get(method, "-") in reason, reason
        return
    assert method not in SKIPPED
    assert not refusal(cell)
    domain = open_dataset(load_card(cell.scenario.dataset)).domains["ads"]
    labels = predictions["target-test/labels"]
    assert 0 < len(labels) == len(predictions["target-test/items"]) < len(domain.names)
    logits = predictions[f"look{run.selected['last']}/target-test/logits"]
    assert logits.shape == (len(labels), 4)
    assert np.isfinite(logits).all()
    assert run.evaluations
