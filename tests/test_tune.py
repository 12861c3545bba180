"""`bench tune`, from the outside and in its parts."""

from __future__ import annotations

from pathlib import Path

from bench.commands.tune import FOLDS, allowed_score, with_folds
from bench.store import Store
from tests.support import answer, bench, tiny_cell

SUITE = """
description = "tiny"
dataset = "emoji-home"
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["full-finetune"]
[budget]
steps = 4
batch_size = 8
looks = 2
[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0, 3]
"""


def test_cells_with_shots_are_tried_on_folds() -> None:
    tried = with_folds([tiny_cell(shots=0), tiny_cell(shots=5)])
    assert [cell.fold for cell in tried] == [None, *range(FOLDS)]
    assert len({cell.key for cell in tried}) == 1 + FOLDS


def test_scores_come_from_where_the_protocol_allows(tmp_path: Path) -> None:
    record, _ = answer(tiny_cell(shots=0), tmp_path)
    assert allowed_score(record) == record.looks[-1].source_validation_accuracy
    record, predictions = answer(tiny_cell(shots=3, fold=1), tmp_path)
    assert allowed_score(record) == record.looks[-1].shots_validation_accuracy
    # One group of each of the four classes was held out of the shots, and only those were scored.
    labels, logits = (
        predictions[f"{name}"] for name in ("shots-validation/labels", "look1/shots-validation/logits")
    )
    assert set(labels) == {0, 1, 2, 3}
    assert allowed_score(record) == (logits.argmax(1) == labels).mean()


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    command = ("tune", "--suite", "tiny.toml", "--method", "full-finetune")
    first = bench(*command, "--trials", "2", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "0 of 2 trials done" in first.stdout
    assert "[set.full-finetune]" in first.stdout
    records = {record.key for record in Store(tmp_path / "results/tiny-tuning").records()}
    assert len(records) == 2 * (1 + FOLDS)
    again = bench(*command, "--trials", "3", cwd=tmp_path)
    assert "2 of 3 trials done" in again.stdout
    after = {record.key for record in Store(tmp_path / "results/tiny-tuning").records()}
    assert records < after
    assert len(after) == 3 * (1 + FOLDS)


def test_wrong_requests(tmp_path: Path) -> None:
    for arguments, words in [
        (("--suite", "smoke", "--method", "dan"), "did you mean 'dann'"),
        (("--suite", "smok", "--method", "dann"), "did you mean 'smoke'"),
        (("--suite", "smoke", "--method", "dann", "--trials", "0"), "--trials"),
    ]:
        process = bench("tune", *arguments, cwd=tmp_path)
        assert process.returncode == 2
        assert process.stderr.startswith("error: ")
        assert words in process.stderr
        assert "Traceback" not in process.stderr
