"""Records that somebody has made: a reason in one line, and no traceback, of whoever reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.results import maintenance as command
from bench.commands.results.baseline import save
from bench.records.codec import Damaged, decode, encode, with_checksum
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from tests.quick import expected, quick_cell

CELL = quick_cell(0)


def sealed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A record that was changed and sealed again."""
    data = json.loads(encode(expected(CELL)[0]))
    del data["checksum"]
    change(data)
    return json.dumps(with_checksum(data)).encode()


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def another_question(data: dict[str, Any]) -> None:
    data["request"]["cell"]["seed"] = 7


def another_budget(data: dict[str, Any]) -> None:
    data["request"]["cell"]["budget"]["steps"] = 9


def deep(data: dict[str, Any]) -> None:
    data["details"] = {"target": {"x": nested(300)}}


def deeper(data: dict[str, Any]) -> None:
    data["details"] = {"target": {"x": nested(900)}}


def huge_seconds(data: dict[str, Any]) -> None:
    data["cost"]["seconds"]["data"] = 10**400


def huge_count(data: dict[str, Any]) -> None:
    data["cost"]["parameters"] = 10**400


def huge_finding(data: dict[str, Any]) -> None:
    data["hyperparameters"] = {"weight": 10**400}


def selected_beyond(data: dict[str, Any]) -> None:
    data["selected"] = {"last": 5}


def selected_negative(data: dict[str, Any]) -> None:
    data["selected"] = {"last": -1}


def untested(data: dict[str, Any]) -> None:
    data["evaluations"][-1]["accuracy"] = {}


CHANGES = [
    another_question,
    another_budget,
    deep,
    deeper,
    huge_seconds,
    huge_count,
    huge_finding,
    selected_beyond,
    selected_negative,
    untested,
]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_and_sealed_again(
    change: Callable[[dict[str, Any]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    content = sealed(change)
    with pytest.raises(Damaged) as reason:
        decode(content)
    assert "\n" not in str(reason.value)
    assert len(str(reason.value)) < 300
    store = Store("results/x")
    store.prepare()
    store.write(*expected(quick_cell(1)))
    store.path(CELL.key).parent.mkdir(exist_ok=True)
    store.path(CELL.key).write_bytes(content)
    assert len(load_frame(store)) == 2
    save("x", "results/x")
    assert command.merge("results/y", ("results/x",)) == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert Store("results/y").keys() == [quick_cell(1).key]
    assert command.verify("results/x") == 1
    assert store.keys() == [quick_cell(1).key]


def test_numbers_beyond_floats() -> None:
    content = sealed(lambda data: data["cost"]["seconds"].update(data=float("inf")))
    with pytest.raises(Damaged, match="1e400 is no number"):
        decode(content.replace(b"Infinity", b"1e400"))


def test_a_pipe_in_the_place_of_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "x")
    store.prepare()
    written = store.write(*expected(CELL))
    store.predictions_path(written).unlink()
    os.mkfifo(store.predictions_path(written))
    with pytest.raises(OSError, match="no regular file"):
        store.predictions(written)
    store.path(CELL.key).unlink()
    os.mkfifo(store.path(CELL.key))
    assert store.read(CELL.key) is None
    assert "no regular file" in store.unreadable[store.path(CELL.key)]
    assert command.verify(str(store.root)) == 1
    with pytest.raises(OSError, match="no regular file"):
        store.write(*expected(CELL))


@pytest.mark.parametrize("labels", [[-1] * 5, [-3, 0, 1, 0, 1], [2] * 5, [30000] * 5])
def test_labels_of_no_class(labels: list[int], tmp_path: Path) -> None:
    store = Store(tmp_path / "x")
    record, predictions = expected(CELL)
    predictions["target-test/labels"] = np.array(labels, dtype=np.int16)
    predictions["target-test/groups"] = np.arange(5, dtype=np.int32)
    store.write(record, predictions)
    frame = load_frame(store)
    assert frame["status"].tolist() == ["unreadable"]
    assert "\n" not in frame["reason"][0]
