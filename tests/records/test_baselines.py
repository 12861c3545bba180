"""Baselines: small, exact in their accuracies, read as if they were results folders."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import bench
from bench.core.errors import UserError
from bench.records.archive import to_zip
from bench.records.baselines import BASELINES, names, open_results, remove, rounded, save, size
from bench.records.codec import encode
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from tests.report.synthetic import cell, fill, record
from tests.support.checkout import ROOT, python
from tests.support.checkout import bench as command

COMPARED = ["key", "status", "method", "accuracy last", "accuracy oracle", "low", "high", "seconds_alone"]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A results folder in a fresh working directory, with done, skipped and failed records."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results" / "toys")
    fill(store, {"linear-probe": 20, "dann": 14})
    store.write(record(cell("maml"), "skipped", "no"), {})
    store.write(record(cell("we/../ird"), "failed", "why"), {})
    return store


def test_a_baseline_reads_like_the_folder_it_was_made_of(results: Store) -> None:
    target = save(results, "toys")
    assert target == BASELINES / "toys"
    assert {path.name for path in target.iterdir()} == {
        "dann.zip",
        "linear-probe.zip",
        "maml.zip",
        "we-..-ird.zip",
    }
    baseline = Store(target)
    assert baseline.keys() == results.keys()
    pd.testing.assert_frame_equal(load_frame(baseline)[COMPARED], load_frame(results)[COMPARED])
    done = next(r for r in baseline.records() if r.outcome.status == "done")
    assert baseline.read(done.key) == done
    assert done.model_copy(update={"predictions_sha256": None}) == results.read(done.key).model_copy(  # type: ignore[union-attr]
        update={"predictions_sha256": None}
    )
    assert not baseline.unreadable


def test_an_archives_directory_is_read_once(results: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a record, which would make reading quadratic; what replaces them does not mix with them."""
    target = save(results, "toys")
    before = list(Store(target).records())
    opened: list[str] = []
    whole = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda file, *given: opened.append(str(given[0])) or whole(file, *given)
    )
    baseline = Store(target)
    assert list(baseline.records()) == before
    assert len(opened) == len(set(opened))
    assert {str(path) for path in target.glob("*.zip")} <= {*opened}
    for path in target.glob("*.zip"):
        path.unlink()
    assert list(baseline.records()) == before


def test_the_same_records_give_the_same_bytes(results: Store) -> None:
    first = {path.name: path.read_bytes() for path in save(results, "toys").iterdir()}
    again = {path.name: path.read_bytes() for path in save(Store(BASELINES / "toys"), "toys").iterdir()}
    assert first == again
    assert [path.name for path in BASELINES.iterdir()] == ["toys"]


def test_saving_again_leaves_nothing_of_before(results: Store, tmp_path: Path) -> None:
    save(results, "toys")
    other = Store(tmp_path / "other")
    fill(other, {"proto-net": 5})
    save(other, "toys")
    assert {r.request.cell.method for r in Store(BASELINES / "toys").records()} == {"proto-net"}


HALVES = st.floats(-60, 60, width=16)
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 65504.0])


@given(arrays(np.float16, (4, 5), elements=HALVES | ODD))
@settings(deadline=None)
def test_rounding_names_the_same_classes_and_moves_logits_little(logits: np.ndarray) -> None:
    coarse = rounded(logits)
    assert coarse.dtype == np.float16
    np.testing.assert_array_equal(coarse.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_array_equal(np.isfinite(coarse), np.isfinite(logits))
    finite = np.isfinite(logits)
    assert np.abs(coarse[finite].astype(float) - logits[finite].astype(float)).max(initial=0) <= 1 / 32


def test_rounding_keeps_a_row_whose_winner_would_change() -> None:
    logits = np.array([[1.0, 1.01, 0.3], [2.0, 1.01, 0.3]], dtype=np.float16)
    np.testing.assert_array_equal(rounded(logits)[0], logits[0])
    np.testing.assert_array_equal(rounded(logits)[1], np.array([2.0, 1.0, 0.3125], dtype=np.float16))


def test_a_baseline_cannot_be_written_to(results: Store) -> None:
    baseline = Store(save(results, "toys"))
    assert baseline.read_only
    with pytest.raises(UserError, match="read-only"):
        baseline.prepare()


def test_what_is_damaged_is_reported_not_raised(results: Store) -> None:
    target = save(results, "toys")
    content = bytearray((target / "dann.zip").read_bytes())
    content[60:90] = bytes(30)
    (target / "dann.zip").write_bytes(content)
    (target / "linear-probe.zip").write_bytes(b"PK no archive")
    store = Store(target)
    statuses = load_frame(store)["status"].value_counts()
    assert statuses["unreadable"] == 2
    assert any("not a readable archive" in reason for reason in store.unreadable.values())


def test_members_cannot_leave_their_folder_or_pass_for_another(results: Store, tmp_path: Path) -> None:
    good = next(r for r in results.records() if r.outcome.status == "skipped")
    text = encode(good)
    folder = tmp_path / "evil"
    folder.mkdir()
    members = {
        f"records/{good.key[:2]}/{good.key}.json": text,
        "records/aa/aabb.json": text,
        "../../out.json": text,
        "records/../../x.json": text,
        "/records/ab/abc.json": text,
    }
    (folder / "x.zip").write_bytes(to_zip(members))
    store = Store(folder)
    assert store.keys() == sorted(["aabb", good.key])
    assert [r.key for r in store.records()] == [good.key]
    assert "holds the record of" in next(iter(store.unreadable.values()))
    assert not (tmp_path / "out.json").exists()


def test_a_member_that_unpacks_to_too_much_is_refused(
    results: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = save(results, "toys")
    monkeypatch.setattr("bench.records.archive.LARGEST", 100)
    assert list(Store(target).records()) == []
    store = Store(target)
    assert set(load_frame(store)["reason"].str.contains("unpacks to more than")) == {True}


def test_names(results: Store) -> None:
    with pytest.raises(UserError, match="cannot name a baseline"):
        save(results, "../up")
    with pytest.raises(UserError, match="no records"):
        save(Store("nowhere"), "x")
    save(results, "toys")
    assert names() == ["toys"]
    assert size("toys") == sum(path.stat().st_size for path in (BASELINES / "toys").iterdir())
    with pytest.raises(UserError, match="did you mean 'toys'"):
        remove("toy")
    with pytest.raises(UserError, match="did you mean 'toys'"):
        open_results("toy")
    remove("toys")
    assert names() == []


def git(*arguments: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_a_committed_baseline(results: Store, tmp_path: Path) -> None:
    git("init", "-q")
    save(results, "toys")
    git("add", "-f", str(BASELINES))
    git("commit", "-qm", "baseline")
    remove("toys")
    pd.testing.assert_frame_equal(
        load_frame(open_results("HEAD:toys"))[COMPARED], load_frame(results)[COMPARED]
    )
    with pytest.raises(UserError, match="no git revision 'HEAD~7'"):
        open_results("HEAD~7:toys")
    with pytest.raises(UserError, match="did you mean 'toys'"):
        open_results("HEAD:toy")
    with pytest.raises(UserError, match="no git revision '--output=x'"):
        open_results("--output=x:toys")


def test_load_results(results: Store) -> None:
    save(results, "toys")
    frame = bench.load_results("toys")
    assert len(frame) == len(results.keys())
    assert frame.loc[frame["method"] == "dann", "accuracy last"].eq(35.0).all()  # 14 of 40 images
    assert not {"predictions", "evaluations"} & set(frame.columns)
    pd.testing.assert_frame_equal(frame[COMPARED], bench.load_results(results.root)[COMPARED])
    with pytest.raises(UserError):
        bench.load_results("nowhere")


def test_the_command(results: Store, tmp_path: Path) -> None:
    saved = command("baseline", "save", "toys", cwd=tmp_path)
    assert "10 records" in saved.stdout, saved.stderr
    listed = command("baseline", "list", cwd=tmp_path)
    assert "toys" in listed.stdout
    assert "toy-suite" in listed.stdout
    tables = command("report", "--results", "results/baselines/toys", "--out", "t.md", cwd=tmp_path)
    assert tables.returncode == 0, tables.stderr
    assert "linear-probe" in (tmp_path / "t.md").read_text(encoding="utf-8")
    gone = command("baseline", "rm", "toys", cwd=tmp_path)
    assert gone.returncode == 0
    wrong = command("baseline", "rm", "toys", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_the_example_script(results: Store) -> None:
    process = python(str(ROOT / "examples" / "results.py"), "results/toys", cwd=results.root.parents[1])
    assert process.returncode == 0, process.stderr
    assert "oracle gap, points" in process.stdout
