"""Lines over revisions: written once, compared only with their like, and changes found where they are."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.results import history as command
from bench.core.errors import UserError
from bench.records.record import Cost, Environment, StageCost
from bench.records.store import Store
from bench.report.history.collect import from_benchmarks, from_records
from bench.report.history.history import History
from bench.report.history.measurement import Entry, Measurement
from bench.report.history.page import render
from bench.report.history.series import ACCURACY_FLOOR, change_points, series
from tests.report import synthetic
from tests.support.checkout import bench

START = datetime(2024, 5, 1, tzinfo=UTC)


def measure(
    folder: Path, revision: str | None, right: int = 20, seconds: float = 4.0, **changes: Any
) -> Store:
    """Three cells of a probe, on machine m-1 unless said otherwise; the third shares its source stage."""
    store = Store(folder)
    where = Environment(
        **{"python": "3", "packages": {}, "platform": "p", "cpu": "c", "machine": "m-1"} | changes,
        git_revision=revision,
    )
    for number, shots in enumerate((0, 1, 5)):
        shared = 9.0 if number == 2 else 0.0
        measured = Cost(
            seconds={"data": 50.0},
            stages={
                "source": StageCost(seconds=seconds, shared_seconds=shared),
                "target": StageCost(seconds=seconds / 2),
            },
            calibration_seconds=0.02,
        )
        synthetic.write(store, synthetic.cell(shots=shots), right, environment=where, cost=measured)
    return store


def test_lines_that_are_added_at_once(tmp_path: Path) -> None:
    """As by jobs that share a checkout."""
    before, between = History(tmp_path / "history"), History(tmp_path / "history")
    lines = [from_records(measure(tmp_path / name, name * 40)) for name in "abc"]
    assert before.add(lines[0]) == 1
    assert between.add(lines[1]) == 1
    assert between.add(lines[1]) == 0
    assert before.add(lines[2]) == 1
    found = History(tmp_path / "history").measurements
    assert [each.revision for each in found] == ["a" * 40, "b" * 40, "c" * 40]


def test_names_with_separators_of_lines_and_pipes(tmp_path: Path) -> None:
    (line,) = from_records(measure(tmp_path / "a", "a" * 40))
    entries = {"a\u2028b\x85": line.entries["linear-probe"]}
    History(tmp_path / "history").add([line.model_copy(update={"entries": entries})])
    again = History(tmp_path / "history")
    assert again.unreadable == {}
    assert [*again.measurements[0].entries] == [*entries]
    os.mkfifo(tmp_path / "history" / "x.jsonl")
    with pytest.raises(UserError, match="no regular file"):
        History(tmp_path / "history")
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UserError, match="no regular file"):
        from_benchmarks(tmp_path / "x.json", "r")


def test_a_line_by_hand(store: Store) -> None:
    measure(store.root, "a" * 40)
    (line,) = from_records(store)
    assert line.key == ("toy-suite", "a" * 40, "m-1", "cpu, 1 thread")
    assert line.date == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert line.calibration_seconds == 0.02
    entry = line.entries["linear-probe"]
    assert entry.accuracy == pytest.approx(50.0)
    # Both stages of two cells, and one of the third; reading data is no training.
    assert entry.seconds == pytest.approx(4 + 2 + 4 + 2 + 2)


def test_lines_say_what_they_are_judged_by(tmp_path: Path) -> None:
    """Areas under curves are called so; accuracies' lines are what they were."""
    for name, revision in (("old", "a" * 40), ("new", "b" * 40)):
        store = Store(tmp_path / name)
        where = Environment(python="3", packages={}, platform="p", cpu="c", git_revision=revision)
        synthetic.write(store, synthetic.cell(metric="auc", modality="table"), 20, environment=where)
    added = bench("history", "add", "old", "new", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    lines = (tmp_path / "results" / "history" / "toy-suite.jsonl").read_text()
    assert lines.count('"metric":"auc"') == 2
    shown = bench("history", "--out", "page.html", cwd=tmp_path)
    assert "toy-suite: AUC\n" in shown.stdout.replace(" \n", "\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h3>AUC</h3>" in page
    assert "toy-suite: AUC over 2 revisions." in page
    assert "image" not in page.split("</style>")[1].split("<svg")[0]
    synthetic.write(store, synthetic.cell(shots=1), 30, environment=where)
    (both,) = from_records(store)
    assert {name: entry.metric for name, entry in both.entries.items()} == {
        "linear-probe by AUC": "auc",
        "linear-probe by accuracy": None,
    }
    assert both.entries["linear-probe by accuracy"].accuracy == pytest.approx(75.0)
    assert '"metric"' not in both.entries["linear-probe by accuracy"].model_dump_json(exclude_none=True)


def test_adding_again_changes_nothing_and_measuring_again_replaces(tmp_path: Path) -> None:
    store = measure(tmp_path / "a", "a" * 40)
    book = History(tmp_path / "history")
    assert book.add(from_records(store)) == 1
    (file,) = (tmp_path / "history").iterdir()
    before = file.read_bytes()
    assert before.count(b"\n") == 1
    assert History(tmp_path / "history").add(from_records(store)) == 0
    assert file.read_bytes() == before
    assert History(tmp_path / "history").add(from_records(measure(tmp_path / "b", "a" * 40, right=30))) == 1
    assert file.read_bytes().count(b"\n") == 1
    (line,) = History(tmp_path / "history").measurements
    assert line.entries["linear-probe"].accuracy == pytest.approx(75.0)
    History(tmp_path / "history").add(from_records(measure(tmp_path / "c", "a" * 40, machine="m-2")))
    assert len(History(tmp_path / "history").measurements) == 2


def test_two_sources_of_one_line_are_refused_and_a_smaller_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the halves of a suite from two hosts, of which the last alone would stay."""
    monkeypatch.chdir(tmp_path)
    measure(tmp_path / "one", "a" * 40)
    two = measure(tmp_path / "two", "a" * 40)
    synthetic.write(two, synthetic.cell("dann"), 30, environment=next(two.records()).environment)
    with pytest.raises(UserError, match="'one' and 'two' are both of suite toy-suite, revision aaaaaaaaaa"):
        command.add(["one", "two"], None)
    assert not (tmp_path / "results").exists()
    command.add(["two", "two"], None)
    assert capsys.readouterr().err == ""
    command.add(["one"], None)
    assert "had dann too" in capsys.readouterr().err


def line(number: int, accuracy: float, seconds: float, **changes: Any) -> Measurement:
    entry = Entry(accuracy=accuracy, asked="cells", seconds=seconds, timed="phases")
    known: dict[str, Any] = {
        **{"suite": "toys", "revision": f"{number:040x}", "date": START + timedelta(days=number)},
        **{"machine": "m-1", "setting": "cpu, 1 thread", "calibration_seconds": 0.02},
        "entries": {"probe": entry.model_copy(update=changes.pop("entry", {}))},
    }
    return Measurement(**known | changes)


def test_planted_changes_are_found_and_told() -> None:
    random = np.random.default_rng(0)
    lines = [
        line(
            i,
            60.0 - 4.0 * (i >= 6) + random.normal(0, 0.2),
            # The machine is at times twice as slow, and so is its calibration; the code is slower from 8 on.
            (1 + i % 2) * (1.25 if i >= 8 else 1.0) * float(np.exp(random.normal(0, 0.02))),
            calibration_seconds=0.02 * (1 + i % 2),
        )
        for i in range(14)
    ]
    accuracy, seconds = series(list(reversed(lines)))
    assert [change.place for change in accuracy.changes] == [6]
    assert (accuracy.changes[0].before, accuracy.changes[0].after) == pytest.approx((60, 56), abs=0.3)
    assert [change.place for change in seconds.changes] == [8]
    assert seconds.changes[0].after / seconds.changes[0].before == pytest.approx(1.25, abs=0.03)
    page = render([accuracy, seconds])
    assert "% from 000000000 on (2024-05-07)" in page
    assert page.count("<svg") == 2


def test_only_like_is_compared_with_like() -> None:
    lines = [
        line(0, 50, 1),
        line(1, 50, 1),
        line(2, 40, 9, machine="m-2"),
        line(3, 50, 1, setting="cpu, 2 threads"),
        line(4, 50, 1, calibration_seconds=None),
        line(5, 70, 1, entry={"asked": "other cells"}),
        line(6, 50, 5, entry={"timed": "other phases"}),
        line(7, 50, 5, machine=""),
    ]
    found = series(lines)
    accuracy = [s for s in found if s.quantity == "accuracy"]
    assert [len(s.values) for s in accuracy] == [7, 1]
    seconds = {(s.machine, s.calibrated): len(s.values) for s in found if s.quantity == "seconds"}
    assert seconds == {
        ("machine m-1, cpu, 1 thread", True): 1,  # the last one with other phases
        ("machine m-1, cpu, 1 thread", False): 1,
        ("machine m-1, cpu, 2 threads", True): 1,
        ("machine m-2, cpu, 1 thread", True): 1,
    }
    assert sorted(len(s.values) for s in found if s.machine == "machine m-1, cpu, 1 thread") == [1, 1, 3]


@pytest.mark.parametrize("revisions", [8, 30])
def test_change_points_seldom_cry_wolf(revisions: int) -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0, ACCURACY_FLOOR, (300, revisions))
    assert np.mean([bool(change_points(values, ACCURACY_FLOOR)) for values in noise]) < 0.03


def test_one_odd_revision_is_no_change() -> None:
    values = np.array([1.0, 1.01, 0.99, 1.0, 3.0, 1.0, 1.01, 0.99])
    assert change_points(values, 0.03) == []
    assert change_points(np.array([1.0, 1.0, 3.0]), 0.03) == []


def test_what_pytest_benchmark_writes(tmp_path: Path) -> None:
    found: dict[str, Any] = {
        "machine_info": {
            "node": "n",
            "cpu": {"brand_raw": "b"},
            "fingerprint": "m-1",
            "calibration_seconds": 0.02,
        },
        "commit_info": {"id": "c" * 40, "dirty": True},
        "benchmarks": [
            {"fullname": "tests/speed/test_x.py::test_y[<z>]", "stats": {"median": 0.25, "mean": 9}}
        ],
        "datetime": "2024-05-01T10:00:00",
    }
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(found))
    made = from_benchmarks(path)
    assert (made.suite, made.revision, made.machine) == ("pytest-benchmark", "c" * 40 + "+", "m-1")
    (entry,) = made.entries.values()
    assert (entry.accuracy, entry.seconds) == (None, 0.25)
    assert "test_y[&lt;z&gt;]" in render(series([made]))
    del found["machine_info"]["fingerprint"]
    path.write_text(json.dumps(found))
    assert len(from_benchmarks(path, "v1").machine) > 8
    assert from_benchmarks(path, "v1").revision == "v1"


def test_the_command(tmp_path: Path) -> None:
    measure(tmp_path / "old", "a" * 40)
    measure(tmp_path / "new", "b" * 40, right=30)
    added = bench("history", "add", "old", "new", cwd=tmp_path)
    assert (added.returncode, added.stdout) == (0, "results/history: 2 lines, 1 file changed\n"), added.stderr
    file = tmp_path / "results" / "history" / "toy-suite.jsonl"
    with file.open("a") as lines:
        lines.write('{"suite": "half')
    shown = bench("history", "--out", "page.html", cwd=tmp_path)
    assert shown.returncode == 0
    assert "toy-suite: Accuracy" in shown.stdout
    assert "toy-suite: Seconds, machine m-1, cpu, 1 thread" in shown.stdout
    assert shown.stderr.startswith("warning: unreadable line results/history/toy-suite.jsonl:3: ")
    assert "toy-suite.jsonl:3" in (tmp_path / "page.html").read_text(encoding="utf-8")
    bench("history", "add", "old", cwd=tmp_path)
    assert '{"suite": "half' in file.read_text(), "another version's line, perhaps"


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    measure(tmp_path / "nameless", None)
    (tmp_path / "half.json").write_text('{"benchmarks": [')
    Store(tmp_path / "empty").prepare()
    broken = measure(tmp_path / "broken", "a" * 40)
    for key in broken.keys():  # noqa: SIM118
        broken.path(key).write_text("{")
    for arguments, said in (
        (("nameless",), "hold no git revision: name it with --revision"),
        (("half.json",), "is not what pytest --benchmark-json writes"),
        (("absent.json",), "cannot read 'absent.json'"),
        (("empty",), "no records in"),
        (("broken",), "no record in 'broken' can be read"),
    ):
        process = bench("history", "add", *arguments, cwd=tmp_path)
        assert process.returncode == 2, said
        assert said in process.stderr.splitlines()[-1]
        assert "Traceback" not in process.stderr
    nothing = bench("history", cwd=tmp_path)
    assert nothing.returncode == 0
    assert "no history yet" in nothing.stdout
    named = bench("history", "add", "nameless", "--revision", "1.2", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
