"""OS, OS*, UNK and HOS: by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.statistics.measures import by_class, by_method
from bench.report.tables.leaderboard import Block
from bench.report.tables.scenarios.open_set import open_rows
from tests.report.synthetic import CLASSES, IMAGES, cell, record

OPEN = Block("open", Supervision(0, layout="1 unknown class"))


def store_cell(store: Store, method: str, logits: np.ndarray, labels: np.ndarray) -> None:
    asked = cell(method, shots=0)
    scenario = asked.scenario.model_copy(
        update={
            "kind": "open",
            "source_classes": CLASSES[:3],
            "target_classes": CLASSES[:3],
            "unknown": CLASSES[3:],
        }
    )
    arrays = {f"look{place}/target-test/logits": logits.astype(np.float16) for place in (0, 1)}
    arrays |= {
        "target-test/labels": labels.astype(np.int16),
        "target-test/groups": np.arange(len(labels), dtype=np.int32),
        "target-test/items": np.arange(len(labels), dtype=np.int32),
    }
    store.write(record(asked.model_copy(update={"scenario": scenario})), arrays)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """40 images, ten of each of three known classes and of the unknown one.

    `threshold` is sure of the right class of the known images, but for five of the first class, of which it
    is sure that they are of the second; it is sure of a class for 4 unknown images, and undecided about
    the others. `own` has a class for what is unknown, and gives all images to it.
    """
    store, labels = Store(tmp_path), np.arange(IMAGES) // 10
    sure = 20 * np.eye(3)[np.minimum(labels, 2)]
    sure[:5] = [0, 20, 0]
    sure[34:] = 0
    store_cell(store, "threshold", sure, labels)
    store_cell(store, "own", np.tile([0.0, 0, 0, 1], (IMAGES, 1)), labels)
    return store


def test_open_scores(store: Store) -> None:
    frame = load_frame(store)
    threshold, own = open_rows(OPEN.of(frame))
    known = (50 + 100 + 100) / 3
    assert threshold.method == "threshold"
    assert threshold.os_star == pytest.approx(known)
    assert threshold.unk == pytest.approx(60)
    assert threshold.os == pytest.approx((3 * known + 60) / 4)
    assert threshold.hos == pytest.approx(2 * known * 60 / (known + 60))
    assert (own.os_star, own.unk, own.os, own.hos) == (0.0, 100.0, 25.0, 0.0)
    columns = frame.set_index("method")[["os", "os_star", "unk", "hos"]]
    assert columns.loc["own"].tolist() == [25.0, 0.0, 100.0, 0.0]
    assert columns.loc["threshold", "hos"] == pytest.approx(threshold.hos)
    accuracy = frame.set_index("method")["accuracy headline"]
    assert accuracy.to_dict() == {"threshold": pytest.approx(100 * 31 / 40), "own": 25.0}
    assert open_rows(Block("cross-domain", Supervision(0)).of(frame)) == []


def test_what_is_unknown_is_a_class_and_has_no_confidence(store: Store) -> None:
    frame = load_frame(store)
    classes = by_class(frame)
    assert classes.loc["unknown", "threshold"] == pytest.approx(60)
    measures = by_method(frame)
    assert measures.loc["threshold", "class-mean accuracy"] == pytest.approx((250 + 60) / 4)
    assert measures[["NLL", "ECE"]].isna().all(axis=None)


def test_other_kinds_have_no_open_scores(store: Store) -> None:
    plain = cell("plain", shots=0)
    arrays = {f"look{place}/target-test/logits": np.eye(4, dtype=np.float16) for place in (0, 1)}
    arrays |= {f"target-test/{name}": np.arange(4, dtype=np.int32) for name in ("labels", "groups", "items")}
    store.write(record(plain), arrays)
    frame = load_frame(store).set_index("method")
    assert frame.loc["plain", "accuracy headline"] == 100.0
    assert frame.loc["plain", ["os", "os_star", "unk", "hos"]].isna().all()
