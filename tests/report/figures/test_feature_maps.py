"""Kept features: numbers by hand, maps on the page, and cells that answer the same with and without."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from bench.data.dataset import silent
from bench.engine.cell.runner import Context, run_cell
from bench.engine.training.artifacts import Artifacts
from bench.records.baselines import slimmed
from bench.records.record import Predictions
from bench.records.store import Store
from bench.report.figures.embeddings import a_distance, projections, purity
from bench.report.render.page import build
from bench.spec.cell import Episodic, Setting
from tests.report import synthetic
from tests.support.cells import WHERE, answer, assert_equal, digests, tiny_cell


def clumps(random: np.random.Generator, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 16 images: (48, 20) and (48,)."""
    classes = np.repeat(np.arange(3), 16)
    return random.normal(size=(48, 20)) + apart * np.eye(20)[classes], classes


def test_purity_by_hand() -> None:
    # On a line: class a at 0 ... 5, class b at 30 ... 35; the five nearest of each are the rest of its class.
    x = np.concatenate([np.arange(6.0), 30 + np.arange(6.0)])[:, None]
    classes, alone = np.repeat(["a", "b"], 6), np.arange(12)
    assert purity(x, classes, alone) == 100.0
    # Each image beside a copy that is related to it: the copy does not count, five of ten others are taken.
    assert purity(x, classes, alone // 2) == pytest.approx(100 * 4 / 5)
    assert purity(x, alone, alone) is None, "no image has another of its class"


def test_purity_and_distance_tell_what_is_apart() -> None:
    random = np.random.default_rng(0)
    mixed, classes = clumps(random, 0)
    parted, _ = clumps(random, 9)
    alone = np.arange(48)
    assert purity(mixed, classes, alone) < 60 < purity(parted, classes, alone) == 100
    is_source = alone % 2 == 0
    assert abs(a_distance(mixed, is_source, alone)) < 1
    assert a_distance(mixed + 9 * is_source[:, None], is_source, alone) == 2
    assert a_distance(mixed, np.zeros(48, bool), alone) is None


@pytest.mark.parametrize("name", projections())
def test_maps_keep_clumps_and_repeat_themselves(name: str) -> None:
    """UMAP too, where it is installed."""
    parted, classes = clumps(np.random.default_rng(1), 9)
    way = projections()[name]
    assert way(parted).shape == (48, 2)
    assert silhouette_score(way(parted), classes) > 0.5
    np.testing.assert_array_equal(way(parted), way(parted))


def test_without_scikit_learn_the_rest_is_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # Python's way to say that a package is not installed
    assert "t-SNE" not in projections()
    alone = np.arange(48)
    assert a_distance(clumps(np.random.default_rng(0), 0)[0], alone % 2 == 0, alone) is None
    predictions = synthetic.predictions({0: range(20), 1: range(20)}) | kept()
    store.write(synthetic.record(synthetic.cell("well")), predictions)
    html = build(store.root).read_text(encoding="utf-8")
    assert "PCA of the features of 40 test images before and after training" in html
    assert "t-SNE of the features" not in html


def kept(images: int = 20, **changes: np.ndarray) -> Predictions:
    random = np.random.default_rng(2)
    arrays: Predictions = {}
    for role in ("source", "target"):
        for when in ("before", "after"):
            arrays[f"features/{when}/{role}"] = random.normal(size=(images, 9)).astype(np.float16)
        arrays[f"features/{role}/labels"] = (np.arange(images) % 4).astype(np.int16)
        arrays[f"features/{role}/groups"] = np.arange(images, dtype=np.int32)
        arrays[f"features/{role}/items"] = np.arange(images, dtype=np.int32)
    return arrays | {f"features/{name.replace('_', '/')}": value for name, value in changes.items()}


def test_the_page_draws_them_and_says_what_is_wrong(store: Store) -> None:
    without = build(store.root).read_text(encoding="utf-8")
    assert "No cell kept features" in without
    harmed = {
        "<i>odd": kept(before_target=np.zeros((3, 9), np.float16)),
        "infinite": kept(after_target=np.full((20, 9), np.inf, np.float16)),
        "few": kept(2),
        "well": kept(),
    }
    for method, arrays in harmed.items():
        predictions = synthetic.predictions({0: range(20), 1: range(20)}) | arrays
        store.write(synthetic.record(synthetic.cell(method)), predictions)
    html = build(store.root).read_text(encoding="utf-8")
    section = html[html.index('<section aria-labelledby="features">') :]
    assert section[: section.index("</section>")].count("Cannot be drawn: ") == 3
    assert "its features do not belong together" in html
    assert "its features are not finite" in html
    assert "too few images" in html
    assert "t-SNE of the features of 40 test images before and after training" in html
    assert build(store.root).read_text(encoding="utf-8") == html
    assert "<i>" not in html


@pytest.mark.parametrize(
    ("method", "source", "shots"),
    [
        ("full-finetune", "google", 0),
        ("linear-probe", None, 2),
        ("maml", "google", 2),
        ("nas-lite", "google", 2),
    ],
)
def test_cells_answer_the_same(method: str, source: str | None, shots: int, tmp_path: Path) -> None:
    cell = tiny_cell(method, source, shots=shots)
    _, plain = answer(cell, tmp_path / "a")
    context = Context("tests", Setting(), WHERE, Artifacts(tmp_path / "b"), keep_features=True)
    record, more = run_cell(cell, context, digests(method), silent)
    assert record.outcome.status == "done", record.outcome
    assert_equal(plain, {name: a for name, a in more.items() if not name.startswith("features/")})
    roles = {"source", "target"} if source else {"target"}
    assert {name.split("/")[1] for name in more if name.endswith("/items") and "features/" in name} == roles
    for role in roles:
        before, after = more[f"features/before/{role}"], more[f"features/after/{role}"]
        assert before.dtype == after.dtype == np.float16
        assert len(before) == len(after) == len(more[f"features/{role}/labels"]) <= 128
        assert np.array_equal(before, after) == (method == "linear-probe"), "what is frozen stays as it was"
    assert set(record.cost.seconds) <= {"data", "build", "features", "views", "evaluate"}
    assert set(record.cost.stages) <= {"source", "target"}
    assert not [name for name in slimmed(more) if name.startswith("features/")], "baselines stay small"
    store = Store(tmp_path / "results")
    stored = store.write(record, more)
    assert_equal(store.predictions(stored), more)


def test_episodes_keep_none(tmp_path: Path) -> None:
    cell = tiny_cell("proto-net", kind="cross-domain", episodes=Episodic(way=2, queries=1, count=2), shots=1)
    context = Context("tests", Setting(), WHERE, Artifacts(tmp_path), keep_features=True)
    record, found = run_cell(cell, context, digests("proto-net"), silent)
    assert record.outcome.status == "done", record.outcome
    assert not [name for name in found if name.startswith("features/")]
