"""`bench tune`, from the outside and in its parts."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy.stats import spearmanr

from bench.commands.experiments.run_plan import RunPlan
from bench.commands.experiments.tune import (
    FOLDS,
    TuneOptions,
    _study,
    allowed_score,
    judged,
    next_trial,
    suggested,
    tune,
    with_folds,
)
from bench.commands.options import SuiteOptions
from bench.core.errors import UserError
from bench.method.registry import search_space
from bench.records.record import Evaluation, Record
from bench.records.selection import COLLAPSED, label_free_scores, validator_scores
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.rules import TUNES_BY
from tests.data.pictures import as_folders, pictures
from tests.report import synthetic
from tests.support.cells import answer, tiny_cell
from tests.support.checkout import ROOT, bench, install

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
evaluations = 2
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
    last = record.evaluations[-1]
    assert allowed_score(record) == validator_scores([last], "bnm")[0]
    assert allowed_score(record, "dev") == validator_scores([last], "dev")[0]
    assert allowed_score(record, "source-val") == last.accuracy["source-validation"]
    sure = last.model_copy(update={"diversity": COLLAPSED / 2})
    collapsed = record.model_copy(update={"evaluations": (*record.evaluations[:-1], sure)})
    assert allowed_score(collapsed) == -math.inf, "whatever its validators say"
    assert allowed_score(collapsed, "source-val") == last.accuracy["source-validation"]
    record, predictions = answer(tiny_cell(shots=3, fold=1), tmp_path)
    assert allowed_score(record) == record.evaluations[-1].accuracy["shots-validation"]
    # One group of each of the four classes was held out of the shots, and only those were scored.
    labels, logits = (
        predictions[f"{name}"] for name in ("shots-validation/labels", "look1/shots-validation/logits")
    )
    assert set(labels) == {0, 1, 2, 3}
    assert allowed_score(record) == (logits.argmax(1) == labels).mean()


@pytest.mark.parametrize(("baseline", "pairs"), [("emoji-home", 12), ("emoji-methods", 3)])
def test_the_rule_ranks_methods_that_target_labels_rank(baseline: str, pairs: int) -> None:
    """On the committed records, as docs/measurements/statistics.md has it; source accuracy does not."""
    found: dict[str, list[list[float]]] = {}
    for record in Store(ROOT / "results/baselines" / baseline).records():
        cell = record.request.cell
        if cell.scenario.shots == 0 and record.outcome.status == "done":
            last = record.evaluations[-1]
            scores = [label_free_scores([last], rule)[0] for rule in (TUNES_BY, "source-val", "snd")]
            known = [score for score in scores if score is not None]
            if len(known) == len(scores):
                found.setdefault(cell.scenario.pair, []).append([*known, last.accuracy["target-test"]])
    assert len(found) == pairs
    correlations = np.mean([spearmanr(rows).statistic[:-1, -1] for rows in found.values()], axis=0)
    assert correlations[0] > 0.7
    assert (correlations[0] - correlations[1:] > 0.3).all()


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


def nats(
    monkeypatch: pytest.MonkeyPatch, folder: Path, scores: list[tuple[float | None, float]], rule: str = "dev"
) -> None:
    """Run a trial for each pair of scores, which two cells get by a rule; None: it is not finite there."""
    (folder / "tiny.toml").write_text(
        SUITE.replace("shots = [0, 3]", "shots = [0]").replace('["google"]', '["google", "apple"]')
    )
    left = iter(scores)

    def outcomes(plan: RunPlan, cells: Sequence[Cell], score: object) -> list[Record]:
        given = next(left)
        assert len(cells) == len(given)
        return [
            synthetic.record(
                cell,
                digests=plan.digests[cell.method],
                evaluations=(
                    Evaluation(
                        stage="source",
                        step=4,
                        accuracy={"target-test": 0.5},
                        validators={} if value is None else {rule: value},
                        diversity=1.0,
                    ),
                ),
                selected={"last": 0},
            )
            for cell, value in zip(cells, given, strict=True)
        ]

    monkeypatch.chdir(folder)
    monkeypatch.setattr("bench.commands.experiments.tune.outcomes", outcomes)
    options = SuiteOptions(suite="tiny.toml")
    arguments = TuneOptions(options, ["full-finetune"], None, len(scores), rule, "cpu", None)
    assert tune(arguments) == 0


def test_a_mean_over_fewer_cells_is_none_to_compare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """-1 over the cell that is left would be ahead of -(1 + 5) / 2 = -3 and -(1 + 7) / 2 = -4."""
    nats(monkeypatch, tmp_path, [(-1.0, -5.0), (-1.0, -7.0), (None, -1.0)])
    said = capsys.readouterr().out
    assert "trial 2 is left out: no score of 1 of 2 cells that others have" in said
    assert "best of 2 trials" in said
    rows = [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│")]
    assert [(row[0].strip(), row[1].strip()) for row in rows] == [("0", "-3"), ("1", "-4")]
    assert "%" not in said


def test_nor_is_that_of_the_first_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nats(monkeypatch, tmp_path, [(None, -1.0), (-1.0, -5.0)])
    said = capsys.readouterr().out
    assert "trial 0 is left out: no score of 1 of 2 cells that others have" in said
    assert "best of 1 trial" in said


def test_shares_are_percent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nats(monkeypatch, tmp_path, [(0.5, 0.25)], "bnm")
    said = capsys.readouterr().out
    assert "score, %" in said
    assert "37.5" in said


def test_nats_and_shares_have_no_mean(tmp_path: Path) -> None:
    """With shots and without, by a rule in nats: the held-out shots alone are what trials are scored on."""
    none, three = tiny_cell(shots=0), tiny_cell(shots=3)
    assert judged([none, three], "dev") == [three]
    assert judged([none, three], "bnm") == [none, three]
    assert judged([none], "dev") == [none]
    (tmp_path / "tiny.toml").write_text(SUITE)
    done = bench(*TUNE, "--trials", "1", "--rule", "dev", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 cell without shots of 2 have no part in its scores" not in done.stdout
    assert "1 cell without shots of 2 has no part in its scores: those of rule 'dev'" in done.stdout
    assert "score, %" in done.stdout
    records = list(Store(tmp_path / "results/tiny-tuning").records())
    assert [record.request.cell.scenario.shots for record in records] == [3] * FOLDS
    mean = np.mean([record.evaluations[-1].accuracy["shots-validation"] for record in records])
    assert f"{100 * mean:.1f}" in done.stdout


def test_another_rule_is_another_study(tmp_path: Path) -> None:
    """Its best is by that rule; the first trial is of the recipe's default, and is not run again."""
    text = SUITE.replace("shots = [0, 3]", "shots = [0]")
    (tmp_path / "tiny.toml").write_text(text + "[recipe]\nlearning_rate = 0.002\n")
    for rule in ("bnm", "source-val"):
        done = bench(*TUNE, "--trials", "3", "--rule", rule, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "0 of 3 trials done" in done.stdout
        store = Store(tmp_path / "results/tiny-tuning")
        scores = {
            record.hyperparameters["learning_rate"]: allowed_score(record, rule) or 0.0
            for record in store.records()
        }
        assert 0.002 in scores
        best = max(scores, key=lambda rate: scores[rate])
        assert f"learning_rate = {best:g}" in done.stdout or len({*scores.values()}) < 3
        if rule == "bnm":
            first = {record.key for record in store.records()}
    # The other rule's study begins with the same default, and may try other values thereafter.
    assert first <= {record.key for record in store.records()}


def test_trials_on_other_cells_are_none_of_a_study(tmp_path: Path) -> None:
    """Of the same name, as after an edit of the suite: their scores are of another question."""
    suite, command = tmp_path / "tiny.toml", (*TUNE, "--trials", "1")
    suite.write_text(SUITE.replace("shots = [0, 3]", "shots = [0]"))
    assert bench(*command, cwd=tmp_path).returncode == 0
    suite.write_text(suite.read_text().replace("steps = 4", "steps = 5"))
    edited = bench(*command, cwd=tmp_path)
    assert edited.returncode == 0, edited.stderr
    assert "earlier trials are of other cells, code, data, weights or libraries" in edited.stdout
    assert "0 of 1 trials done" in edited.stdout
    records = Store(tmp_path / "results/tiny-tuning").records()
    assert sorted(record.request.cell.budget.steps for record in records) == [4, 5]
    assert "1 of 1 trials done" in bench(*command, cwd=tmp_path).stdout


def test_wrong_requests(tmp_path: Path) -> None:
    for arguments, words in [
        (("--suite", "smoke", "--method", "dannn"), "did you mean 'dann'"),
        (("--suite", "smok", "--method", "dann"), "did you mean 'smoke'"),
        (("--suite", "smoke", "--method", "dann", "--trials", "0"), "--trials"),
        (("--suite", "smoke", "--method", "dann", "--rule", "infomx"), "did you mean 'infomax'"),
        (("--suite", "smoke", "--method", "dann", "--rule", "oracle"), "needs no target label 'oracle'"),
    ]:
        process = bench("tune", *arguments, cwd=tmp_path)
        assert process.returncode == 2
        assert process.stderr.startswith("error: ")
        assert words in process.stderr
        assert "Traceback" not in process.stderr


def test_trials_in_a_suites_budget(tmp_path: Path) -> None:
    """Each method is tuned before its cells run; what is found stands in their records."""
    text = SUITE.replace("evaluations = 2", "evaluations = 2\ntrials = 2").replace(
        'methods = ["full-finetune"]', 'methods = ["full-finetune", "linear-probe"]'
    )
    (tmp_path / "tiny.toml").write_text(text)
    first = bench("run", "--suite", "tiny.toml", cwd=tmp_path)
    assert first.returncode == 0, first.stderr + first.stdout
    assert "study tiny full-finetune suite: 0 of 2 trials done" in first.stdout
    records = list(Store(tmp_path / "results/tiny").records())
    assert len(records) == 4
    assert all(record.request.cell.budget.trials == 2 for record in records)
    mine = [record for record in records if record.request.cell.method == "full-finetune"]
    found = {record.hyperparameters["learning_rate"] for record in mine}
    trials = list(Store(tmp_path / "results/tiny/tuning").records())
    tried = {record.hyperparameters.get("learning_rate") for record in trials}
    assert len(found) == 1
    assert found < tried
    scores = {
        rate: [
            allowed_score(record) for record in trials if record.hyperparameters.get("learning_rate") == rate
        ]
        for rate in tried - {None}
    }
    means = {rate: sum(s for s in values if s is not None) / len(values) for rate, values in scores.items()}
    assert means[found.pop()] == max(means.values())
    again = bench("run", "--suite", "tiny.toml", cwd=tmp_path)
    assert "2 of 2 trials done" in again.stdout
    assert "4 recorded, 0 to run" in again.stdout


EDITED = """
from pathlib import Path
from bench.api import GradientMethod

class Mine(GradientMethod):
    def begin(self, *arguments):
        file = Path(__file__)
        text = file.read_text()
        if not text.endswith("LATER = True"):
            file.write_text(text + "LATER = True")
        return super().begin(*arguments)
"""
"""Method whose file is edited while it trains for the first time."""


def test_a_method_that_is_edited_meanwhile(tmp_path: Path) -> None:
    """The worker that has loaded the old code makes room for one with the new: nothing has failed."""
    install(tmp_path / "site", "mine = mine:Mine", mine=EDITED)
    text = SUITE.replace("evaluations = 2", "evaluations = 2\ntrials = 1").replace("full-finetune", "mine")
    (tmp_path / "tiny.toml").write_text(text.replace("shots = [0, 3]", "shots = [3]"))
    path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    process = bench("run", "--suite", "tiny.toml", cwd=tmp_path, PYTHONPATH=path)
    assert process.returncode == 0, process.stderr + process.stdout
    assert "the code of 'mine' has changed: its trials begin anew" in process.stdout
    assert (tmp_path / "site" / "mine.py").read_text() == EDITED + "LATER = True"
    [record] = Store(tmp_path / "results/tiny").records()
    trials = [*Store(tmp_path / "results/tiny/tuning").records()]
    assert {found.outcome.status for found in (record, *trials)} == {"done"}
    assert {found.digests.method for found in (record, *trials)} == {record.digests.method}
    again = bench("run", "--suite", "tiny.toml", cwd=tmp_path, PYTHONPATH=path)
    assert "1 recorded, 0 to run" in again.stdout


TOUCHING = """
import shutil
from pathlib import Path
from bench.api import GradientMethod

class Mine(GradientMethod):
    def begin(self, *arguments):
        if not Path("photos/b/x/new.jpg").exists():
            shutil.copy("photos/a/x/00001.jpg", "photos/b/x/new.jpg")
        return super().begin(*arguments)
"""


def test_images_that_change_meanwhile(tmp_path: Path) -> None:
    """A trial on other images is none of the study's, and no trial has failed for it."""
    as_folders(tmp_path / "photos", pictures(["a", "b"], ["x", "y"], 6))
    install(tmp_path / "site", "mine = mine:Mine", mine=TOUCHING)
    path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    options = ("--backbone", "test_efficientnet.untrained", "--image-size", "32", "--steps", "8")
    more = ("--target", "b", "--shots", "2", "--only", "learning_rate", "--trials", "2")
    command = ("tune", "--data", "photos", "--method", "mine", *options, *more)
    process = bench(*command, cwd=tmp_path, PYTHONPATH=path)
    assert process.returncode == 0, process.stderr + process.stdout
    assert "the images of 'mine' have changed: its trials begin anew" in process.stdout
    assert "best of 2 trials" in process.stdout
    (folder,) = (tmp_path / "results").iterdir()
    records = [*Store(folder).records()]
    newest = max(records, key=lambda record: record.created).digests.dataset
    storage = JournalStorage(JournalFileBackend(str(folder / "studies.journal")))
    begun, again = storage.get_all_studies()
    # The first trial was of the old images, as this process knew them, and counts in its study.
    states = [trial.state for trial in storage.get_all_trials(begun._study_id)]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]
    assert len(storage.get_all_trials(again._study_id)) == 2
    assert {record.digests.dataset for record in records if record.done} == {newest}


def study(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "results/tiny-tuning/studies.journal")))
    [summary] = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """In its first trial, which is of the defaults, and in its second."""
    values = {}
    for name, kills in (("whole", 0), ("killed", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tiny.toml").write_text(SUITE)
        for trial in range(kills):
            kill_in_new_trial(folder)
            states = [found.state for found in study(folder).trials]
            assert states == [TrialState.COMPLETE] * trial + [TrialState.RUNNING]
        process = bench(*TUNE, "--trials", "3", cwd=folder)
        assert process.returncode == 0, process.stderr
        assert f"{max(0, kills - 1)} of 3 trials done" in process.stdout
        trials = study(folder).trials
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
        values[name] = [(trial.params, trial.value) for trial in trials]
        assert trials[0].params["learning_rate"] == search_space("full-finetune")["learning_rate"]["default"]
    assert values["whole"] == values["killed"]


def test_a_trial_that_is_interrupted_between_two_values_goes_on_with_the_same() -> None:
    space = {name: {"low": 0.1, "high": 10.0, "log": True, "default": 1.0} for name in ("a", "b", "c")}
    drawn = []
    for known in range(4):
        study = optuna.create_study()
        study.tell(study.ask(), 1.0)
        suggested(next_trial(study), dict([*space.items()][:known]))
        drawn.append(suggested(next_trial(study), space))
    assert drawn == [drawn[0]] * 4
    assert len({*drawn[0].values()}) == 3


TUNE = ("tune", "--suite", "tiny.toml", "--method", "full-finetune")


def kill_in_new_trial(folder: Path) -> None:
    """Kill a study once the first of a new trial's three cells is recorded."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *TUNE, "--trials", "3"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        # Of a trial that was interrupted before, only two cells are left.
        if line.startswith("[1/3]"):
            break
    process.kill()
    process.communicate()


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    folder = tmp_path / "results/tiny-tuning"
    folder.mkdir(parents=True)
    for damage in (b"garbage\nmore of it\n", b"[1, 2]\n{}\n", b"\xff\xfe\n\x00\n", b'{"op_code": 77}\n[]\n'):
        (folder / "studies.journal").write_bytes(damage)
        process = bench(*TUNE, cwd=tmp_path)
        assert process.returncode == 2, process.stderr
        last = process.stderr.splitlines()[-1]
        assert last.startswith("error: '"), process.stderr
        assert "studies.journal' is not a journal of studies" in last
        assert "Traceback" not in process.stderr


def test_a_journal_whose_scores_were_changed_is_none(tmp_path: Path) -> None:
    """Any digit of a score or of a value that was tried; lines of before there were checksums are read."""
    journal = tmp_path / "studies.journal"
    begun = _study(Store(tmp_path), "s", "q")
    trial = begun.ask({"rate": optuna.distributions.FloatDistribution(0.1, 0.9)})
    begun.tell(trial, 0.25)
    whole = journal.read_text()
    assert _study(Store(tmp_path), "s", "q").best_value == 0.25
    tried = str(trial.params["rate"])[:6]
    for old, new in (("0.25", "0.95"), (tried, f"0.9{tried[3:]}1")):
        assert old in whole
        journal.write_text(whole.replace(old, new))
        with pytest.raises(UserError, match=r"is not a journal of studies \(ValueError: a checksum differs"):
            _study(Store(tmp_path), "s", "q")
    journal.write_text(re.sub(r',"checksum":\d+', "", whole))
    assert _study(Store(tmp_path), "s", "q").best_value == 0.25


def test_several_methods_get_equally_many_trials(tmp_path: Path) -> None:
    """Over one hyperparameter; what cannot be tuned is said, and the others go on."""
    (tmp_path / "tiny.toml").write_text(SUITE.replace("shots = [0, 3]", "shots = [0]"))
    command = ("tune", "--suite", "tiny.toml", "--method", "bitfit,linear-probe,full-fine*", "--trials", "2")
    done = bench(*command, "--only", "learning_rate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not tuned: linear-probe cannot tune 'learning_rate'" in done.stdout
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line
    ]
    assert rows[0] == ["method", "hyperparameter", "default", "score, %", "best", "score, %", "trials"]
    assert [(*row[:3], row[6]) for row in rows[2:]] == [
        ("bitfit", "learning_rate", "0.003", "2"),
        ("full-finetune", "learning_rate", "0.001", "2"),
    ]
    assert all(float(row[5]) >= float(row[3]) for row in rows[2:])
    tried = {
        (record.request.cell.method, name)
        for record in Store(tmp_path / "results/tiny-tuning").records()
        for name in record.request.cell.overrides
    }
    assert tried == {("bitfit", "learning_rate"), ("full-finetune", "learning_rate")}


def test_a_method_of_several_all_of_whose_trials_fail(tmp_path: Path) -> None:
    """Batch norm has no statistics of one image; a closed form does without."""
    suite = SUITE.replace("shots = [0, 3]", "shots = [3]").replace("batch_size = 8", "batch_size = 1")
    (tmp_path / "tiny.toml").write_text(suite)
    done = bench(
        *("tune", "--suite", "tiny.toml", "--method", "full-finetune,linear-probe", "--trials", "1"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout
    assert "full-finetune: every trial failed\n" in done.stderr
    assert "| linear-probe |" in done.stdout
