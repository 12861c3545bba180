"""Submissions: packed, checked, tampered with in every way that somebody may think of, and run again."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load, save

from bench.cli import cli
from bench.commands.sharing.check import _predictions
from bench.commands.sharing.questions import questions_of, suite_questions
from bench.commands.sharing.reproduction import compared, is_marked
from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.records.archive import to_zip
from bench.records.codec import decode, encode
from bench.records.record import Record
from bench.records.selection import select
from bench.records.store import Store
from bench.report.scores.predictions import Unusable
from bench.spec.matrix.editions import digest_of, editions, question
from bench.spec.matrix.suite import load_suite
from tests.support.cells import answer, tiny_cell
from tests.support.checkout import ROOT, bench

BASELINES = ROOT / "results" / "baselines"
SMOKE = str(BASELINES / "smoke")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("submissions") / "me"
    assert run("submit", "smoke@1", "--by", "me", "--results", SMOKE, "--out", str(out)).exit_code == 0
    return out


@pytest.fixture
def mine(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "me"))


def check(*arguments: str | Path) -> Result:
    return run("results", "check-submission", *map(str, arguments))


# What is frozen ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(editions()))
def test_a_frozen_suite_is_what_it_was(name: str) -> None:
    edition = editions()[name]
    keys, card = suite_questions(edition.suite)
    assert digest_of({*keys}) == edition.questions, (
        f"{edition.suite} has changed: freeze it under a new number"
    )
    assert card == edition.card, "the dataset's card has changed: freeze its suites under new numbers"
    assert load_suite(name) == load_suite(edition.suite)


def test_a_question_is_any_methods(packed: Path) -> None:
    questions = questions_of("smoke@1")
    records = [*Store(Path(SMOKE)).records()]
    assert {question(record.request.cell) for record in records} == {*questions.keys}
    cell = records[0].request.cell
    assert questions.asks(cell.model_copy(update={"method": "someones", "overrides": {"rate": 0.1}}))
    assert not questions.asks(cell.model_copy(update={"seed": 1}))


# Packed --------------------------------------------------------------------------------------------------


def test_what_is_packed_has_no_fault(mine: Path) -> None:
    result = check(mine)
    assert result.exit_code == 0, result.output
    assert "smoke@1 by me: 9 records of dann, full-finetune, linear-probe, no fault" in result.output
    assert {path.name for path in mine.iterdir()} == {
        *("submission.json", "dann.zip", "full-finetune.zip", "linear-probe.zip")
    }


def test_it_is_merged_whole(mine: Path, tmp_path: Path) -> None:
    result = check(mine, "--into", tmp_path / "all")
    assert result.exit_code == 0, result.output
    assert Store(tmp_path / "all").keys() == Store(Path(SMOKE)).keys()


def test_methods_that_lack_a_cell_are_left_out(tmp_path: Path) -> None:
    store, base = Store(tmp_path / "some"), Store(Path(SMOKE))
    store.prepare()
    for number, record in enumerate(base.records()):
        if number or record.request.cell.method != "dann":
            store.write(record, base.predictions(record))
    gone = {record.request.cell.method for record in base.records() if store.read(record.key) is None}
    first = next(base.records()).request.cell.method
    if first != "dann":
        store.path(next(base.records()).key).unlink()
        gone = {first}
    out = str(tmp_path / "out")
    result = run("submit", "smoke@1", "--by", "me", "--results", str(store.root), "--out", out)
    assert result.exit_code == 0
    assert f"left out: {gone.pop()}, which lacks 1 of 3 cells" in result.output
    assert check(out).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("smoke", "--by", "me"),
            "'smoke' is no edition of a suite, whose numbers compare: did you mean 'smoke@1'",
        ),
        (("emoji-home@1", "--by", "me"), "no method has all 28 cells of emoji-home@1"),
        (("smoke@1", "--by", "a/b"), "--by 'a/b' cannot name a folder"),
    ],
)
def test_requests_that_are_refused(arguments: tuple[str, ...], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        run("submit", *arguments, "--results", SMOKE, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# Tampered with -------------------------------------------------------------------------------------------


def reseal(folder: Path, **changes: Any) -> None:
    """Write checksums anew, as somebody would who changed the files."""
    manifest = json.loads((folder / "submission.json").read_text())
    manifest["files"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.zip")
    }
    (folder / "submission.json").write_text(json.dumps({**manifest, **changes}))


def members(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewrite(
    folder: Path,
    record: Callable[[Record], Record] = lambda record: record,
    arrays: Callable[[dict[str, np.ndarray]], None] = lambda arrays: None,
    method: str = "linear-probe",
) -> str:
    """Change a record of a method and its predictions, with every checksum right; returns its key."""
    archive = folder / f"{method}.zip"
    files = members(archive)
    name = sorted(name for name in files if name.endswith(".json"))[0]
    blob = files.pop(name.replace(".json", ".safetensors"))
    predictions = load(blob)
    arrays(predictions)
    changed = record(decode(files.pop(name)))
    blob = save(predictions)
    changed = changed.model_copy(update={"predictions_sha256": hashlib.sha256(blob).hexdigest()})
    place = f"records/{changed.key[:2]}/{changed.key}"
    archive.write_bytes(to_zip({**files, f"{place}.json": encode(changed), f"{place}.safetensors": blob}))
    reseal(folder)
    return changed.key


def refused(result: Result, *lines: str) -> None:
    assert result.exit_code == 1, result.output
    for line in lines:
        assert line in result.output
    assert "nothing is merged" in result.output


def logits(arrays: dict[str, np.ndarray]) -> list[str]:
    return [name for name in arrays if name.endswith("/logits")]


def narrow(arrays: dict[str, np.ndarray]) -> None:
    for name in logits(arrays):
        arrays[name] = np.concatenate([arrays[name], arrays[name][:, :1] - 9], axis=1)


def shorten(arrays: dict[str, np.ndarray]) -> None:
    for name in logits(arrays):
        arrays[name] = arrays[name][:-1]


def better(arrays: dict[str, np.ndarray]) -> None:
    """Logits of somebody who is always right."""
    for name in logits(arrays):
        arrays[name] = np.eye(arrays[name].shape[1], dtype=np.float16)[arrays["target-test/labels"]]


def relabel(arrays: dict[str, np.ndarray]) -> None:
    """Labels as the network would have them."""
    arrays["target-test/labels"] = arrays[logits(arrays)[0]].argmax(1).astype(np.int16)


def drop(arrays: dict[str, np.ndarray]) -> None:
    for name in logits(arrays):
        del arrays[name]


def lacking(arrays: dict[str, np.ndarray]) -> None:
    del arrays["target-test/items"]


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        (narrow, "has logits of the shape (65, 6) for 65 labels of 5 classes"),
        (shorten, "has predictions that cannot be used: logits (64, 5) do not belong to 65 labels"),
        (better, "but its logits say 100.0%"),
        (relabel, "has other test images or labels than others of its question"),
        (lacking, "lacks 'target-test/items'"),
        (drop, "lacks the logits of the evaluation that rule 'last' selects"),
    ],
)
def test_predictions_that_do_not_hold(
    arrays: Callable[[dict[str, np.ndarray]], None], line: str, mine: Path, tmp_path: Path
) -> None:
    key = rewrite(mine, arrays=arrays)
    result = check(mine, "--into", tmp_path / "all")
    refused(result, line)
    assert key in result.output or "other test images" in line
    assert not (tmp_path / "all").exists()


def cell_of(seed: int) -> Callable[[Record], Record]:
    """The record as one of a cell of another seed, key and all."""

    def change(record: Record) -> Record:
        cell = record.request.cell.model_copy(update={"seed": seed})
        request = record.request.model_copy(update={"cell": cell, "suite": "other"})
        return record.model_copy(update={"request": request, "key": cell.key})

    return change


def digests(**values: str) -> Callable[[Record], Record]:
    return lambda record: record.model_copy(update={"digests": record.digests.model_copy(update=values)})


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (cell_of(7), ("is no cell of smoke@1 (it was run for suite 'other')",)),
        (digests(dataset="0" * 16), ("is of images with the fingerprint 0000000000000000, not",)),
        (digests(card="0" * 16), ("is of a card with the digest 0000000000000000, not",)),
    ],
)
def test_records_of_something_else(
    record: Callable[[Record], Record], lines: tuple[str, ...], mine: Path
) -> None:
    key = rewrite(mine, record=record)
    refused(check(mine), key, *lines)


def test_selections_that_are_not_those_of_the_rules(mine: Path) -> None:
    """The evaluation that is best on test images is nobody's to choose: here the first of two."""
    key = rewrite(
        mine, record=lambda record: record.model_copy(update={"evaluations": 2 * record.evaluations})
    )
    refused(check(mine), key, "selects other evaluations than its rules do")


def test_a_record_without_evaluations(mine: Path) -> None:
    nothing = {"evaluations": (), "selected": {}}
    key = rewrite(mine, record=lambda record: record.model_copy(update=nothing))
    refused(check(mine), key, "selects other evaluations than its rules do")


def test_labels_are_compared_with_those_that_are_here(mine: Path, tmp_path: Path) -> None:
    """All records of a question with the same other labels agree with each other alone."""
    for path in sorted(mine.glob("*.zip")):
        if path.stem != "linear-probe":
            path.unlink()
    files = members(mine / "linear-probe.zip")
    for name in [name for name in files if name.endswith(".json")]:
        blob, record = name.replace(".json", ".safetensors"), decode(files[name])
        if record.done:
            arrays = load(files[blob])
            arrays["target-test/labels"] = (arrays["target-test/labels"] + 1) % 5
            for place in logits(arrays):
                arrays[place] = np.roll(arrays[place], 1, axis=1)
            files[blob] = save(arrays)
            digest = hashlib.sha256(files[blob]).hexdigest()
            files[name] = encode(record.model_copy(update={"predictions_sha256": digest}))
    (mine / "linear-probe.zip").write_bytes(to_zip(files))
    reseal(mine, methods={"linear-probe": len(files) // 2})
    assert check(mine).exit_code == 0
    only_others = tmp_path / "others"
    store, base = Store(only_others), Store(Path(SMOKE))
    store.prepare()
    for record in base.records():
        if record.request.cell.method == "full-finetune":
            store.write(record, base.predictions(record))
    refused(check(mine, "--against", only_others), "has other test images or labels than others")
    with pytest.raises(UserError, match="other test images or labels"):
        run("site", str(mine), str(only_others), "--out", str(tmp_path / "site"))


def test_records_of_an_older_release_have_no_fault(tmp_path: Path) -> None:
    out = str(tmp_path / "tasks")
    run("submit", "emoji-tasks@1", "--by", "me", "--results", str(BASELINES / "emoji-tasks"), "--out", out)
    result = check(out)
    assert result.exit_code == 0, result.output


def says(metric: dict[str, float] | None = None, **accuracy: float) -> Callable[[Record], Record]:
    """The record with other scores of test items at every evaluation."""

    def change(record: Record) -> Record:
        evaluations = tuple(
            each.model_copy(
                update={
                    "metric": each.metric if metric is None else each.metric | metric,
                    "accuracy": each.accuracy | {name.replace("_", "-"): x for name, x in accuracy.items()},
                }
            )
            for each in record.evaluations
        )
        selected = select(evaluations)
        return record.model_copy(update={"evaluations": evaluations, "selected": selected})

    return change


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Submission of a suite that is judged by AUC."""
    store, base = Store(tmp_path_factory.mktemp("binding") / "some"), Store(BASELINES / "mhc-binding")
    store.prepare()
    for record in base.records():
        if record.request.cell.method == "scratch":
            store.write(record, base.predictions(record))
    out = store.root.parent / "me"
    run("submit", "mhc-binding@1", "--by", "me", "--results", str(store.root), "--out", str(out))
    return out


def test_auc_follows_from_the_logits(binding: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(binding, tmp_path / "me"))
    result = check(mine)
    assert result.exit_code == 0, result.output
    key = rewrite(mine, record=says(metric={"target-test": 0.95}), method="scratch")
    store = Store(BASELINES / "mhc-binding")
    record = store.read(key)
    assert record is not None
    logits, labels = (
        store.predictions(record)[f"{name}"]
        for name in (f"look{record.selected['last']}/target-test/logits", "target-test/labels")
    )
    odds = logits[:, 1].astype(float) - logits[:, 0].astype(float)
    pairs = odds[labels == 1][:, None] - odds[labels == 0]
    area = float(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    refused(check(mine), f"{key} (", f"says 95.0% AUC by rule 'last', but its logits say {area:.1%}")


def test_accuracy_follows_where_results_are_judged_by_another_metric(binding: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(binding, tmp_path / "me"))
    rewrite(mine, record=says(target_test=0.99), method="scratch")
    refused(check(mine), "says 99.0% accuracy by rule 'last', but its logits say")


def test_a_metric_that_the_suite_does_not_know(mine: Path) -> None:
    """A record is ranked by its metric where it has one: of a suite of accuracies it may have none."""
    rewrite(mine, record=says(metric={"target-test": 0.99}))
    refused(check(mine), "says another metric than accuracy")


def test_two_records_of_a_key_in_two_archives(mine: Path) -> None:
    files = members(mine / "dann.zip")
    shutil.copy(mine / "dann.zip", mine / "more.zip")
    reseal(mine)
    refused(check(mine), f"{next(iter(files))} is there twice, in dann.zip and more.zip")


def answered_otherwise(arrays: dict[str, np.ndarray]) -> None:
    """Two images of one class swapped: as many are right, so the accuracy holds."""
    labels = arrays["target-test/labels"]
    for name in logits(arrays):
        best = arrays[name].argmax(1)
        pair = next(
            (a, b)
            for a in range(len(labels))
            for b in range(a)
            if labels[a] == labels[b] and best[a] != best[b]
        )
        arrays[name][[*pair]] = arrays[name][[*reversed(pair)]]


def test_two_submissions_of_a_key_with_other_predictions(mine: Path, packed: Path, tmp_path: Path) -> None:
    key = rewrite(mine, arrays=answered_otherwise)
    assert check(mine).exit_code == 0, "alone it holds"
    result = check(packed, mine, "--into", tmp_path / "all")
    refused(result, key, f"has other predictions in '{packed}'")
    assert not (tmp_path / "all").exists()
    refused(check(mine, "--against", SMOKE), key, "has other predictions in")
    with pytest.raises(UserError, match="has other predictions in"):
        run("site", str(packed), str(mine), "--out", str(tmp_path / "site"))
    assert not (tmp_path / "site").exists()


def test_a_method_that_is_not_whole(mine: Path) -> None:
    files = members(mine / "dann.zip")
    gone = sorted(files)[0].removesuffix(".json")
    kept = {name: content for name, content in files.items() if not name.startswith(gone)}
    (mine / "dann.zip").write_bytes(to_zip(kept))
    reseal(mine)
    refused(check(mine), "dann lacks 1 of 3 cells", "submission.json names")


def test_foreign_files(mine: Path, tmp_path: Path) -> None:
    (mine / "run.py").write_text("print(1)")
    (mine / "records").mkdir()
    refused(check(mine), "'run.py' is a foreign file", "'records' is a foreign file")
    shutil.rmtree(mine / "records")
    (mine / "run.py").unlink()
    (mine / "more.zip").symlink_to(mine / "dann.zip")
    reseal(mine)
    refused(check(mine), "'more.zip' is no plain file")


def test_foreign_members(mine: Path) -> None:
    with zipfile.ZipFile(mine / "dann.zip", "a") as file:
        file.writestr("../../outside.txt", "x")
    reseal(mine)
    refused(check(mine), "dann.zip holds the foreign file '../../outside.txt'")


def test_checksums(mine: Path) -> None:
    with (mine / "dann.zip").open("ab") as file:
        file.write(b"x")
    (mine / "full-finetune.zip").unlink()
    refused(
        check(mine),
        "dann.zip has another checksum than submission.json says",
        "full-finetune.zip: No such file",
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"edition": "smoke"}, "'smoke' is no edition of a suite, whose numbers compare"),
        ({"edition": "emoji-home@1"}, "questions"),
        ({"protocol": 2}, "protocol 2 is not that of smoke@1, 1"),
        ({"dataset": "0"}, "dataset 0 is not that of smoke@1"),
        ({"format": 2}, "'format'"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"by": ""}, "'by'"),
    ],
)
def test_manifests_that_do_not_hold(change: dict[str, Any], line: str, mine: Path) -> None:
    reseal(mine, **change)
    refused(check(mine), line)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 1}', "[" * 100_000])
def test_no_manifest(content: str, mine: Path) -> None:
    (mine / "submission.json").write_text(content)
    refused(check(mine), "submission.json: ")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no submission at"):
        check(tmp_path / "nowhere")


# Run again -----------------------------------------------------------------------------------------------


def test_cells_that_are_judged_by_auc_are_compared_by_it(tmp_path: Path) -> None:
    """Answers that stay on their side of one half are all as right as before, and ranked otherwise."""
    base = Store(BASELINES / "mhc-binding")
    record = next(record for record in base.records() if record.request.cell.method == "full-finetune")
    theirs, ours, same = (Store(tmp_path / name) for name in ("theirs", "ours", "same"))
    arrays = base.predictions(record)
    labels = arrays["target-test/labels"]
    for store in (theirs, ours, same):
        store.prepare()
        store.write(record, arrays)
        if store is theirs:
            # The surer it was of a wrong answer, the surer it is of it: now the least sure ones are right.
            for name in logits(arrays):
                odds = (arrays[name][:, 1] - arrays[name][:, 0]).astype(float)
                right = (odds > 0) == (labels == 1)
                odds = np.where(right, np.sign(odds) * 1e-3, np.sign(odds) * 10)
                arrays = arrays | {name: np.stack([0 * odds, odds], 1).astype(np.float16)}
    found = compared(same, ours, [record.key])[record.key]
    assert found["alike"]
    found = compared(theirs, ours, [record.key])[record.key]
    assert not found["alike"]
    assert found["score"][0] - found["score"][1] > 10


def test_cells_are_run_again(tmp_path: Path) -> None:
    """A suite that is run here, submitted and run again here, has its mark."""
    for step in (
        ("run", "--suite", "smoke@1", "--methods", "linear-probe", "--results", "out"),
        ("submit", "smoke@1", "--by", "me", "--results", "out", "--out", "me"),
        ("results", "check-submission", "me", "--rerun", "1"),
    ):
        process = bench(*step, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
    assert "0 of 65 images apart" in process.stdout
    assert is_marked(tmp_path / "me")
    reseal(tmp_path / "me", by="another")
    assert not is_marked(tmp_path / "me"), "the mark is of what was run again"


def test_what_is_unknown_has_a_label_of_its_own(tmp_path: Path) -> None:
    """Four classes and what is unknown, 4, which a method of four logits rejects by entropy."""
    unknown = tuple(load_card("emoji-home").classes[-2:])
    record, predictions = answer(tiny_cell(kind="open", shots=0, unknown=unknown), tmp_path)
    assert predictions["target-test/labels"].max() == 4
    assert [*_predictions(record, predictions)] == []
    beyond = {**predictions, "target-test/labels": predictions["target-test/labels"] + 1}
    with pytest.raises(Unusable, match="do not belong to"):
        [*_predictions(record, beyond)]
