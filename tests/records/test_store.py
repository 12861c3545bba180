from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.records.migrations import CURRENT, MIGRATIONS
from bench.records.record import (
    Cost,
    Digests,
    Environment,
    Evaluation,
    Outcome,
    Predictions,
    Record,
    Request,
    StageCost,
)
from bench.records.store import Store
from bench.report.scores.frame import rerun_command
from bench.spec.cell import Cell, Setting
from tests.support.cells import tiny_cell

TODAY = Digests(method="m", engine="e", dataset="d")
EVALUATION = Evaluation(
    stage="target",
    step=3,
    train_loss=0.1,
    accuracy={"target-validation": 1 / 3, "target-test": 0.5},
)


def record(cell: Cell | None = None, **changes: Any) -> Record:
    cell = cell or tiny_cell()
    known: dict[str, Any] = {
        "key": cell.key,
        "created": "2024-02-29T12:00:00+00:00",
        "request": Request(cell=cell, setting=Setting(), suite="mine"),
        "outcome": Outcome(status="done"),
        "digests": TODAY,
        "environment": Environment(python="3", packages={"torch": "2"}, platform="p", cpu="c"),
        "cost": Cost(
            seconds={"data": 0.5},
            shared_seconds={"features": 1.0},
            stages={"target": StageCost(seconds=2.0)},
        ),
        "evaluations": (EVALUATION,),
        "selected": {"last": 0},
        "hyperparameters": {"weight": 1.0, "unfreeze": "head"},
    }
    return Record(**{**known, **changes})


PREDICTIONS: Predictions = {
    "look0/target-test/logits": np.array([[1.5, -2.25], [0.0, 65504.0]], dtype=np.float16),
    "target-test/labels": np.array([1, 0], dtype=np.int16),
    "target-test/items": np.arange(6, dtype=np.int32)[::3],  # not contiguous
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.prepare()
    return store


def files(store: Store) -> set[str]:
    return {path.name for path in store.root.rglob("*") if path.is_file()}


def test_round_trip(store: Store) -> None:
    written = store.write(record(), PREDICTIONS)
    assert written.predictions_sha256
    again = Store(store.root).read(written.key)
    assert again == written
    found = store.predictions(written)
    assert found.keys() == PREDICTIONS.keys()
    for name, array in PREDICTIONS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert files(store) == {f"{written.key}.json", store.predictions_path(written).name}
    assert list(store.records()) == [written]
    assert store.keys() == [written.key]
    assert not store.unreadable


def test_record_without_predictions(store: Store) -> None:
    written = store.write(
        record(outcome=Outcome(status="failed", reason="why"), evaluations=(), selected={}), {}
    )
    assert written.predictions_sha256 is None
    assert store.predictions(written) == {}
    assert files(store) == {f"{written.key}.json"}


def test_costs() -> None:
    assert record().cost.own_seconds == 2.5
    assert record().cost.alone_seconds == 3.5


def test_records_may_be_read_by_others(store: Store) -> None:
    mask = os.umask(0o022)
    try:
        written = store.write(record(), {})
    finally:
        os.umask(mask)
    assert store.path(written.key).stat().st_mode & 0o777 == 0o644


class Unwritable(Mapping[str, np.ndarray]):
    """Predictions that cannot be stored."""

    def __getitem__(self, key: str) -> np.ndarray:
        return np.array([object()], dtype=object)

    def __iter__(self):
        return iter(["logits"])

    def __len__(self) -> int:
        return 1


def test_failing_write_leaves_nothing(store: Store) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        store.write(record(), Unwritable())  # type: ignore[arg-type]
    assert files(store) == set()


def test_failing_write_keeps_what_was_there(store: Store) -> None:
    written = store.write(record(), PREDICTIONS)
    with pytest.raises(Exception):  # noqa: B017, PT011
        store.write(record(created="later"), Unwritable())  # type: ignore[arg-type]
    assert Store(store.root).read(written.key) == written
    assert files(store) == {f"{written.key}.json", store.predictions_path(written).name}


def test_write_that_fails_at_the_last_moment_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    (target / "inside").mkdir(parents=True)  # A folder that is not empty cannot be replaced by a file.
    with pytest.raises(OSError, match="taken"):
        write_atomically(target, b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_replacing_a_record_replaces_its_predictions(store: Store) -> None:
    store.write(record(), PREDICTIONS)
    newer = {name: array[:1].copy() for name, array in PREDICTIONS.items()}
    written = store.write(record(created="later"), newer)
    assert store.predictions(written)["target-test/labels"].tolist() == [1]
    assert len([*(store.root / "records").glob("*/*")]) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00\xff garbage",
        b"[]",
        b"3",
        b'{"some": "other", "json": 1}',
        b'{"schema_version": 2}',
        b'{"schema_version": 99}',
        b'{"schema_version": 1, "key": NaN}',
        b"[" * 100_000,
    ],
)
def test_unreadable_records_are_reported(store: Store, content: bytes) -> None:
    good = store.write(record(tiny_cell(seed=8)), {})
    path = store.path(tiny_cell().key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert store.read(tiny_cell().key) is None
    reason = store.unreadable[path]
    assert reason
    assert "\n" not in reason
    assert [found.key for found in store.records()] == [good.key]
    assert store.keys() == sorted([good.key, tiny_cell().key])
    assert store.missing([tiny_cell()], {"full-finetune": TODAY}) == ([tiny_cell()], 0)


def test_complaint_about_a_long_file_is_short(store: Store) -> None:
    path = store.path(tiny_cell().key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{" + b"x" * 1_000_000)
    assert store.read(tiny_cell().key) is None
    assert len(store.unreadable[path]) < 1000


def test_record_under_a_foreign_name(store: Store) -> None:
    written = store.write(record(), {})
    other = store.path(tiny_cell(seed=9).key)
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(store.path(written.key).read_bytes())
    assert store.read(tiny_cell(seed=9).key) is None
    assert written.key in store.unreadable[other]


def test_what_is_no_folder_of_records(store: Store) -> None:
    """A stray file is passed over; a folder that cannot be listed is named."""
    good = store.write(record(tiny_cell()), {})
    (store.root / "records" / "zz").write_text("no folder")
    loop = store.root / "records" / "zy"
    loop.symlink_to(loop)
    assert store.keys() == [good.key]
    assert [*store.unreadable] == [loop]


def test_absent_is_not_unreadable(store: Store) -> None:
    assert store.read("0" * 16) is None
    assert not store.unreadable


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_damaged_predictions(store: Store, damage: bytes | None) -> None:
    written = store.write(record(), PREDICTIONS)
    path = store.predictions_path(written)
    if damage is None:
        blob = bytearray(path.read_bytes())
        blob[-1] ^= 1
        path.write_bytes(bytes(blob))
    else:
        path.write_bytes(damage)
    with pytest.raises(OSError, match="checksum"):
        store.predictions(written)
    path.unlink()
    with pytest.raises(OSError, match="safetensors"):
        store.predictions(written)


def test_missing(store: Store) -> None:
    fresh, stale, failed, absent = (tiny_cell(seed=seed) for seed in range(4))
    cells = [absent, failed, stale, fresh]
    store.write(record(fresh), {})
    store.write(record(stale, digests=TODAY.model_copy(update={"engine": "other"})), {})
    store.write(record(failed, outcome=Outcome(status="failed", reason="why")), {})
    today = {"full-finetune": TODAY}
    assert store.missing(cells, today) == ([absent, stale], 1)
    assert store.missing(cells, today, keep_stale=True) == ([absent], 0)
    assert store.missing(cells, today, retry_failed=True) == ([absent, failed, stale], 1)
    assert store.missing(cells, today, keep_stale=True, retry_failed=True) == ([absent, failed], 0)


@pytest.mark.parametrize("part", ["method", "engine", "dataset"])
def test_each_digest_counts(store: Store, part: str) -> None:
    store.write(record(digests=TODAY.model_copy(update={part: "other"})), {})
    assert store.missing([tiny_cell()], {"full-finetune": TODAY}) == ([tiny_cell()], 1)


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(UserError, match=f"cannot write results to '{path}'.*--results"):
            Store(path).prepare()


def test_preparing_leaves_no_file(store: Store) -> None:
    store.prepare()
    assert files(store) == set()


def test_records_are_plain_json(store: Store) -> None:
    written = store.write(record(), PREDICTIONS)
    data = json.loads(store.path(written.key).read_text(encoding="utf-8"))
    assert data["request"]["cell"]["method"] == "full-finetune"
    assert data["evaluations"][0]["accuracy"]["target-validation"] == 1 / 3
    assert rerun_command(written).endswith(f"--cell {written.key}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know(store: Store, value: float) -> None:
    """Such a question is refused, or its record can be read again."""
    try:
        cell = tiny_cell(overrides={"learning_rate": value})
    except ValidationError:
        return
    store.write(record(cell), {})
    assert store.read(cell.key) is not None, store.unreadable


def test_a_changed_number_is_noticed(store: Store) -> None:
    written = store.write(record(), {})
    path = store.path(written.key)
    path.write_bytes(path.read_bytes().replace(b'"target-test": 0.5', b'"target-test": 0.9'))
    assert store.read(written.key) is None
    assert "checksum" in store.unreadable[path]


def test_the_layout_of_the_file_does_not_matter(store: Store) -> None:
    written = store.write(record(), {})
    path = store.path(written.key)
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_bytes()).items()))))
    assert store.read(written.key) == written


def first_schema(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of the JSON of `record()`, which has no checksum."""
    cell = {**data["request"]["cell"], "budget": {"steps": 6, "batch_size": 16, "looks": 2, "trials": 0}}
    same = ("key", "created", "digests", "selected", "hyperparameters", "details", "predictions_sha256")
    return {
        **{name: data[name] for name in same},
        "schema_version": 1,
        "asked": {**data["request"], "cell": cell},
        "happened": data["outcome"],
        "where": data["environment"],
        "measured": {
            "seconds": {"data": 0.5, "target-stage": 2.0},
            "shared_seconds": {"features": 1.0},
            "images_seen": 0,
        },
        "looks": [
            {
                "stage": "target",
                "step": 3,
                "train_loss": 0.1,
                "source_validation_accuracy": None,
                "target_validation_accuracy": 1 / 3,
                "target_test_accuracy": 0.5,
            }
        ],
    }


def test_records_of_the_first_schema_are_read(store: Store) -> None:
    """Without a checksum, predictions under the plain name."""
    written = store.write(record(), PREDICTIONS)
    path, predictions = store.path(written.key), store.predictions_path(written)
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(first_schema(data)))
    predictions.rename(path.with_suffix(".safetensors"))
    assert store.read(written.key) == written
    assert store.predictions(written).keys() == PREDICTIONS.keys()
    again = store.write(record(created="later"), PREDICTIONS)
    assert json.loads(path.read_bytes())["schema_version"] == CURRENT
    assert store.predictions(again).keys() == PREDICTIONS.keys()


def test_every_earlier_schema_has_a_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, CURRENT))


def test_a_record_from_the_future(store: Store) -> None:
    written = store.write(record(), {})
    path = store.path(written.key)
    path.write_bytes(path.read_bytes().replace(b'"schema_version": 3', b'"schema_version": 4'))
    assert store.read(written.key) is None
    assert "update it" in store.unreadable[path]


@pytest.mark.parametrize("there_before", [False, True])
def test_the_first_complete_record_stays(store: Store, there_before: bool) -> None:
    """Two that began from the same state: who is later gets the other's record."""
    key = tiny_cell().key
    if there_before:
        store.write(record(outcome=Outcome(status="failed", reason="why")), {})
    seen = store.version(key)
    assert (seen is not None) == there_before
    first = store.write(record(created="first"), PREDICTIONS, seen)
    assert first.created == "first"
    shorter = {name: array[:1].copy() for name, array in PREDICTIONS.items()}
    assert store.write(record(created="second"), shorter, seen) == first
    assert store.write(record(created="third"), PREDICTIONS, seen) == first
    assert store.read(key) == first
    assert store.predictions(first).keys() == PREDICTIONS.keys()
    assert files(store) == {store.path(key).name, store.predictions_path(first).name}


def test_names_that_are_no_text(store: Store) -> None:
    """What Python makes of a file name that is not UTF-8 can be a reason, and is written."""
    written = store.write(record(outcome=Outcome(status="failed", reason="no \udcff here")), {})
    found = store.read(written.key)
    assert found
    assert found.outcome.reason == "no ? here"


def test_what_was_missing_stays_known(store: Store) -> None:
    """Between finding out what is missing and doing it, somebody else may have done it."""
    cell = tiny_cell()
    assert store.version_when_checked(cell.key) is None
    store.missing([cell], {"full-finetune": TODAY})
    other = Store(store.root)
    first = other.write(record(), {})
    assert store.version_when_checked(cell.key) is None
    assert store.version(cell.key) is not None
    assert store.write(record(created="later"), {}, store.version_when_checked(cell.key)) == first
    store.missing([cell], {"full-finetune": TODAY})
    assert store.version_when_checked(cell.key) == store.version(cell.key)
