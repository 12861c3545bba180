from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from bench.core.errors import UserError
from bench.records.store import Store
from bench.report.regression.simulate import coverage, main, rejections, simulated
from bench.report.scores.frame import accuracy_column, load_frame
from tests.report import synthetic


@pytest.fixture
def noisy(store: Store) -> Store:
    """Eight runs of one method that differ by luck."""
    random = np.random.default_rng(5)
    for seed in range(8):
        right = np.flatnonzero(random.random(200) < 0.5 + random.normal(0, 0.02))
        arrays = synthetic.predictions({0: right, 1: right}, images=200)
        store.write(synthetic.record(synthetic.cell("a", seed=seed)), arrays)
    return store


def test_a_method_is_rarely_different_from_itself_and_often_from_a_better_self(noisy: Store) -> None:
    cells = load_frame(noisy)
    assert rejections(cells, 3, 0.0, 60, seed=1) <= 7
    assert rejections(cells, 3, 25.0, 20, seed=1) >= 15


def test_the_difference_that_is_put_in_is_there(noisy: Store) -> None:
    random = np.random.default_rng(0)
    gaps = []
    for _ in range(60):
        rows = simulated(load_frame(noisy), 3, 10.0, random)
        means = rows.groupby("method")[accuracy_column()].mean()
        gaps.append(means["right"] - means["left"])
    assert np.mean(gaps) == pytest.approx(10.0, abs=1.5)


@pytest.fixture
def ranked(store: Store) -> Store:
    """Eight runs of one method, judged by AUC: about 0.76 of two classes, one standard deviation apart."""
    random = np.random.default_rng(5)
    labels = np.arange(200) % 2
    for seed in range(8):
        arrays = synthetic.predictions({0: [], 1: []}, images=200)
        arrays["target-test/labels"] = labels.astype(np.int16)
        odds = random.normal(labels, 1.0)
        for place in (0, 1):
            arrays[f"look{place}/target-test/logits"] = np.stack([0 * odds, odds], 1).astype(np.float16)
        store.write(synthetic.record(synthetic.cell("a", seed=seed, metric="auc")), arrays)
    return store


def test_a_difference_of_another_metric_than_accuracy(ranked: Store) -> None:
    cells = load_frame(ranked)
    assert cells[accuracy_column()].mean() == pytest.approx(76, abs=3)
    random, rows = np.random.default_rng(0), []
    for effect in (0.0, 10.0):
        drawn = [simulated(cells, 3, effect, random) for _ in range(40)]
        means = [each.groupby("method")[accuracy_column()].mean() for each in drawn]
        rows.append(np.mean([each["right"] - each["left"] for each in means]))
    assert rows == pytest.approx([0.0, 10.0], abs=1.5)
    done = CliRunner().invoke(main, ["--results", str(ranked.root), "--times", "2"], catch_exceptions=False)
    assert "0 points: called different in" in done.output


def test_the_command_prints_counts_and_repeats_itself(noisy: Store) -> None:
    arguments = ["--results", str(noisy.root), "--times", "5"]
    one, other = (CliRunner().invoke(main, arguments, catch_exceptions=False).output for _ in range(2))
    assert "0 points: called different in" in one
    assert one == other


@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_intervals_of_two_seeds_cover_what_they_say(spread: float) -> None:
    assert coverage(2, spread, 600, seed=0) > 0.94


def test_without_a_folder_the_command_prints_coverage() -> None:
    said = CliRunner().invoke(main, ["--times", "2"], catch_exceptions=False).output.splitlines()
    assert [line[:2] for line in said[1:]] == ["2:", "3:", "4:", "5:"]


def test_too_few_seeds_are_said(store: Store) -> None:
    synthetic.fill(store, {"a": 20}, shots=[5])
    with pytest.raises(UserError, match="6 seeds"):
        CliRunner().invoke(main, ["--results", str(store.root)], catch_exceptions=False)
