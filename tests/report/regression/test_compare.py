"""Planted regressions are caught and named; nothing is said where nothing changed."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from bench.cli import cli
from bench.records.record import Cost, Digests, Environment, Record, StageCost
from bench.records.store import Store
from bench.report.regression.compare import compare, compare_sides
from bench.report.regression.false_alarms import other_answers, planted, slowed
from bench.report.regression.paired_cells import sides
from bench.report.statistics.randomisation import holm, sign_flip
from tests.report.synthetic import cell, predictions, record
from tests.support.checkout import bench

METHODS = ("linear-probe", "dann", "full-finetune")
PAIRS = [(a, b) for a, b in product(("photo", "sketch", "paint"), repeat=2) if a != b]
IMAGES = 300


def results(
    folder: Path,
    *,
    drop: float = 0,
    slow: float = 1,
    gone: bool = False,
    unit: tuple[float, float] | None = None,
    waited: float = 0,
    **changes: str,
) -> Store:
    """18 cells; `dann` loses `drop` points, takes `slow` times as long, or lacks its first cell.

    Each waits for a processor for `waited` seconds, beside two of training.

    `unit` is the one calibration of the run, and its error; else every cell has its own.
    """
    store = Store(folder)
    random = np.random.default_rng(len(str(folder.name)))
    for method, (source, target) in product(METHODS, PAIRS):
        mine = method == "dann"
        asked = cell(
            method, source, target, **{k: changes[k] for k in ("metric", "modality") if k in changes}
        )
        if gone and mine and (source, target) == PAIRS[0]:
            continue
        # Other images in every cell; besides the drop, six are lost and six won, as between real runs.
        order = np.random.default_rng([METHODS.index(method), PAIRS.index((source, target))]).permutation(
            IMAGES
        )
        right = order[:180]
        if drop and mine:
            right = np.concatenate([order[: 174 - round(IMAGES * drop / 100)], order[180:186]])
        seconds = (slow if mine else 1) * 2 * float(np.exp(random.normal(0, 0.03)))
        where = Environment(
            python="3", packages={}, platform="p", cpu="c", machine=changes.get("machine", "m-1")
        )
        measured_unit, error = unit or (0.02 * float(np.exp(random.normal(0, 0.03))), 0.02)
        calibration = {"calibration_seconds": measured_unit, "calibration_error": error}
        measured = Cost(stages={"target": StageCost(seconds=seconds)}, waited_seconds=waited, **calibration)
        known = Digests(
            method="m",
            engine="e",
            dataset=changes.get("dataset", "d-1"),
            card=changes.get("card"),
            libraries=changes.get("libraries"),
            weights=((asked.backbone, changes["weights"]),) if "weights" in changes else (),
        )
        arrays = predictions({1: right}, IMAGES)
        made = record(asked, environment=where, cost=measured, digests=known)
        setting = made.request.setting.model_copy(update={"threads": int(changes.get("threads", 1))})
        request = made.request.model_copy(update={"setting": setting})
        store.write(made.model_copy(update={"request": request}), arrays)
    return store


def test_cells_are_compared_by_what_they_are_judged_by(tmp_path: Path) -> None:
    """The same answers, but what is wrong is surer: the areas under the curves fall, accuracies stay."""
    base, new = (results(tmp_path / name, metric="auc") for name in ("base", "new"))
    same = compare(base, new)
    assert {change.verdict for change in same.methods} == {"same"}
    for done in [done for done in new.records() if done.request.cell.method == "dann"]:
        arrays = dict(new.predictions(done))
        logits, labels = arrays["look1/target-test/logits"], arrays["target-test/labels"]
        wrong = logits.argmax(1) != labels
        arrays["look1/target-test/logits"] = np.where(wrong[:, None], 3 * logits, logits)
        new.write(done, arrays)
    found = {change.name: change for change in compare(base, new).methods}
    assert [name for name, change in found.items() if change.verdict == "worse"] == ["dann"]
    areas = [
        np.mean([100 * area(store, done) for done in store.records() if done.request.cell.method == "dann"])
        for store in (base, new)
    ]
    assert (found["dann"].base, found["dann"].new) == pytest.approx(areas, abs=1e-4)
    told = CliRunner().invoke(
        cli, ["compare", str(base.root), str(new.root), "--out", str(tmp_path / "x.html")]
    )
    assert told.exit_code == 1
    assert f"- dann: AUC {areas[0]:.1f} to {areas[1]:.1f} % " in told.output
    assert "| method | base, % | new, % | points | AUC | time | speed |" in told.output
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert '<th scope="col">AUC</th>' in page
    assert not re.search("accurac|image|Caution", told.output + page)


def test_metrics_that_differ_are_named(tmp_path: Path) -> None:
    """Cells by two metrics have a score; each change says which one its own is."""
    base, new = (results(tmp_path / name) for name in ("base", "new"))
    for store in (base, new):
        for done in list(results(tmp_path / f"{store.root.name}-auc", metric="auc").records()):
            store.write(done, Store(tmp_path / f"{store.root.name}-auc").predictions(done))
    found = compare(base, new)
    assert found.metric == "score"
    assert found.caution == "of 36 cells, 18 by AUC and 18 by accuracy are compared"
    assert {change.metric for change in found.cells} == {"AUC", "accuracy"}
    assert {change.metric for change in found.methods} == {"score"}


def test_other_items_are_named_by_their_kind(tmp_path: Path) -> None:
    base, new = (results(tmp_path / name, modality="text", metric="balanced-accuracy") for name in "ab")
    done = next(iter(new.records()))
    arrays = dict(new.predictions(done))
    arrays["target-test/groups"] = arrays["target-test/groups"][::-1].copy()
    new.write(done, arrays)
    assert "other test texts" in {change.why for change in compare(base, new).cells}


def area(store: Store, done: Record) -> float:
    arrays = store.predictions(done)
    logits = arrays["look1/target-test/logits"].astype(float)
    labels = arrays["target-test/labels"]
    # Log-odds, since probabilities near 1 round to ties.
    odds = [each - logsumexp(np.delete(logits, c, axis=1), axis=1) for c, each in enumerate(logits.T)]
    return float(np.mean([roc_auc_score(labels == label, odds[label]) for label in np.unique(labels)]))


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({"drop": 3}, "dann: accuracy 60.0 to 57.0 % (−3.0 points)"),
        ({"slow": 1.25}, "dann: training takes 1.2"),
        ({"gone": True}, "dann photo → sketch 5-shot tiny seed 0: gone: no record"),
        ({"dataset": "d-2"}, "dataset fingerprint d-1 is now d-2"),
    ],
)
def test_planted(planted: dict, named: str, tmp_path: Path) -> None:
    results(tmp_path / "base")
    results(tmp_path / "new", **planted)
    out = ("--out", "a.html", "--out", "a.json", "--out", "a.md")
    process = bench("compare", "base", "new", *out, cwd=tmp_path)
    assert process.returncode == 1, process.stdout + process.stderr
    assert named in process.stdout.replace("\\", "")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == process.stdout
    assert "regression" in (tmp_path / "a.html").read_text(encoding="utf-8")
    if "slow" in planted or "drop" in planted:
        loose = ("--max-slowdown", "0.5", "--max-accuracy-drop", "5")
        assert bench("compare", "base", "new", *loose, cwd=tmp_path).returncode == 0


def test_nothing_changed_and_another_machine(tmp_path: Path) -> None:
    results(tmp_path / "base")
    results(tmp_path / "again")
    results(tmp_path / "elsewhere", slow=3, machine="m-2")
    same = bench("compare", "base", "again", cwd=tmp_path)
    assert (same.returncode, same.stdout.count("**0 regressions**")) == (0, 1), same.stdout
    other = bench("compare", "base", "elsewhere", cwd=tmp_path)
    assert (other.returncode, other.stdout.count("not comparable")) == (0, 3), other.stdout


@pytest.mark.parametrize(("waited", "code"), [(0.05, 1), (2.0, 0)])
def test_a_busy_machine_is_no_regression(waited: float, code: int, tmp_path: Path) -> None:
    results(tmp_path / "base")
    results(tmp_path / "new", slow=1.25, waited=waited)
    process = bench("compare", "base", "new", cwd=tmp_path)
    assert process.returncode == code, process.stdout
    assert process.stdout.count("not comparable") == 3 * (1 - code)


@pytest.mark.parametrize(("error", "code"), [(0.0, 1), (0.05, 1), (0.4, 0)])
def test_times_are_no_surer_than_their_unit(error: float, code: int, tmp_path: Path) -> None:
    """The same seconds on a machine that is twice as fast, if the calibration is to be believed."""
    results(tmp_path / "base", unit=(0.02, error))
    results(tmp_path / "new", unit=(0.01, error))
    process = bench("compare", "base", "new", cwd=tmp_path)
    assert process.returncode == code, process.stdout
    assert process.stdout.count("training takes") == 3 * code


def test_other_threads_are_named(tmp_path: Path) -> None:
    """Their records have the same keys, and other numbers."""
    results(tmp_path / "base")
    results(tmp_path / "new", threads="4")
    out = ("--out", "a.html", "--out", "a.json")
    said = bench("compare", "base", "new", *out, cwd=tmp_path).stdout
    assert "Caution: 18 of 18 cells ran in another setting (threads: 1 and 4): accuracy may differ" in said
    for name in ("a.html", "a.json"):
        assert "threads: 1 and 4" in (tmp_path / name).read_text(encoding="utf-8")
    assert "Caution" not in bench("compare", "base", "base", cwd=tmp_path).stdout


def test_other_cards_weights_and_libraries_are_named(tmp_path: Path) -> None:
    results(tmp_path / "old")
    results(tmp_path / "base", card="c-1", weights="w-1", libraries="numpy 2, torch 2")
    results(tmp_path / "new", card="c-2", weights="w-2", libraries="numpy 2, torch 3")
    said = bench("compare", "base", "new", cwd=tmp_path).stdout
    other = "other card in 18, other weights in 18, other libraries in 18 (torch 2 and torch 3)"
    assert f"Caution: of 18 cells, {other}: accuracy may differ" in said
    for base, new in (("base", "base"), ("old", "new")):
        assert "Caution" not in bench("compare", base, new, cwd=tmp_path).stdout


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_record_that_cannot_be_read_is_no_pass(side: str, suffix: str, tmp_path: Path) -> None:
    for name in ("base", "new"):
        results(tmp_path / name)
    path = sorted((tmp_path / side).glob(f"records/??/*{suffix}"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    process = bench("compare", "base", "new", cwd=tmp_path)
    assert process.returncode == 1, process.stdout
    assert "**1 regression**" in process.stdout
    assert ("of the base, which cannot be compared with: " in process.stdout) is (side == "base")
    assert f"warning: unreadable record {side}/records/" in process.stderr


def test_nothing_in_common_is_one_line(tmp_path: Path) -> None:
    results(tmp_path / "base")
    other = Store(tmp_path / "other")
    other.write(record(cell("maml", "a", "b")), predictions({1: range(3)}))
    for arguments, said in (
        (("base", "other"), "no cell in common"),
        (("base", "basse"), "no results folder"),
    ):
        process = bench("compare", *arguments, cwd=tmp_path)
        assert process.returncode == 2
        assert said in process.stderr
        assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("differences", [[1, 1, 1, 1], [2, -1, 0, 1], [3, -1, -1, -1], [0, 0], [-2, -1]])
def test_sign_flip_counts_all_signs(differences: list[int]) -> None:
    signs = np.array(list(product((-1, 1), repeat=len(differences))))
    sums = signs @ np.array(differences)
    found = sign_flip(np.array(differences))
    assert found.p == pytest.approx((sums >= abs(sum(differences))).mean())
    # What it could have said, and how likely that is where nothing changed.
    could = {(sums >= s).mean() for s in sums}
    for level in (0.001, 0.0625, 0.3, 0.5, 0.99, 1.0):
        assert found.chance(level) == pytest.approx(max((p for p in could if p <= level), default=0.0))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_tests_that_could_not_have_spoken_cost_nothing() -> None:
    """Six answers lost by one method, two differ in another, and none in a hundred more."""
    tests = [sign_flip(np.array(d)) for d in ([-1] * 6, [1, -1], *([0, 0, 0],) * 100)]
    adjusted = holm([t.p for t in tests], [t.chance for t in tests])
    assert adjusted[0] == pytest.approx(2**-6)
    assert adjusted[1:] == [0.75] + [1.0] * 100


def test_families_cry_wolf_no_more_often_than_they_may() -> None:
    """Discrete tests on the same few groups, nothing changed: the smallest adjusted p is honest."""
    random = np.random.default_rng(3)
    level, alarms, times = 0.05, 0, 2000
    sizes = random.integers(0, 3, (5, 9))
    for _ in range(times):
        signs = random.choice((-1, 1), 9)
        tests = [sign_flip(row * signs) for row in sizes]
        adjusted = holm([t.p for t in tests], [t.chance for t in tests])
        down = [row @ signs < 0 for row in sizes]
        alarms += any(p <= level and worse for p, worse in zip(adjusted, down, strict=True))
    assert 0 < alarms <= level * times + 3 * np.sqrt(level * times)


def test_cells_of_different_sizes_count_alike(tmp_path: Path) -> None:
    """30 of 1,000 images are lost in one cell, 6 of 40 won in another: the mean rises by 6 points.

    Images alone would say that many more were lost, and a gain be called proven. By cells each
    image won weighs 25 of those lost: all six have to be won, 1 time in 64, or five and 25 of the 30 lost.
    """
    cells = sides(results(tmp_path / "base"))
    large, small = [key for key, side in cells.items() if side.method == "dann"][:2]
    base, new = {}, {}
    for key, count, lost, won in ((large, 1000, 30, 0), (small, 40, 0, 6)):
        before, after = np.arange(count) < count // 2, np.arange(count) < count // 2 - lost + won
        base[key], new[key] = (cells[key].answered(right, np.arange(count)) for right in (before, after))
    (found,) = compare_sides(base, new).methods
    assert found.points == pytest.approx((-3 + 15) / 2)
    assert found.verdict == "same"
    assert found.p == pytest.approx(1 / 64 + 6 / 64 * stats.binom.sf(24, 30, 0.5))
    gone = {large: new[large], small: base[small]}
    (found,) = compare_sides(base, gone).methods
    assert (found.verdict, found.points) == ("worse", pytest.approx(-1.5))


def test_planted_faults_are_counted(tmp_path: Path) -> None:
    run = sides(results(tmp_path / "base"))
    assert planted(run, 3, 1) == [True] * 3
    assert planted(run, 0.5, 1) == [False] * 3, "within what the gate lets pass"
    assert slowed([run], 1.25) == [True] * 3
    assert slowed([run], 1.1) == [False] * 3


def test_other_answers_are_those_of_another_look(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(cell("dann")), predictions({0: range(10), 1: range(12)}))
    store.write(record(cell("maml")), predictions({1: range(12)}))
    run = sides(store)
    others = other_answers(store, run)
    right = {run[key].method: np.flatnonzero(others[key]).tolist() for key in run}
    assert right == {"dann": [*range(10)], "maml": [*range(12)]}
