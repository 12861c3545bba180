"""Tests and scores of reports against statsmodels, scipy, scikit-posthocs and torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.predictions import classified, image_predictions
from bench.report.statistics.measures import calibration_error
from bench.report.statistics.randomisation import holm, sign_flip
from bench.report.statistics.ranks import average_ranks
from bench.report.statistics.uncertainty import pooled_between, run_error
from tests.report import synthetic

Peer = Callable[[str], ModuleType]
near = pytest.approx


@pytest.mark.parametrize("signs", [[1] * 7, [1, 1, 1, -1, 1, 0, 1], [-1, -1, 1, -1], [-1] * 12 + [1] * 4])
def test_sign_flips_of_ones_are_the_sign_test(peer: Peer, signs: list[int]) -> None:
    """Theirs is two-sided."""
    _, p = peer("statsmodels.stats.descriptivestats").sign_test(signs)
    assert 2 * sign_flip(np.array(signs)).p == near(p, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_sign_flips_of_ranks_are_wilcoxons_test(seed: int) -> None:
    differences = np.random.default_rng(seed).choice((-1, 1), 9) * np.arange(1, 10)
    side = "greater" if differences.sum() > 0 else "less"
    expected = stats.wilcoxon(differences, alternative=side, method="exact").pvalue
    assert sign_flip(differences).p == near(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_sign_flips_are_all_permutations(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-5, 6, 10)
    side = "greater" if differences.sum() > 0 else "less"
    expected = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", alternative=side, n_resamples=np.inf
    )
    assert sign_flip(differences).p == near(expected.pvalue, abs=1e-12)


@pytest.fixture
def accuracies(tmp_path: Path) -> tuple[Store, pd.DataFrame]:
    """Records, and their accuracies without ties: a row for each question, a column for each method."""
    random, store = np.random.default_rng(1), Store(tmp_path)
    # The last method is the best one.
    rights = [np.append(random.permutation(30)[:4], 30 + random.integers(9)) for _ in range(7)]
    for target, row in enumerate(rights):
        for method, right in zip("abcde", row, strict=True):
            synthetic.write(store, synthetic.cell(method, None, f"domain {target}"), int(right))
    table = pd.DataFrame(rights, columns=list("abcde"))
    assert (table.nunique(axis=1) == 5).all(), "no ties"
    return store, table


def test_rank_test_is_an_analysis_of_variance(peer: Peer, accuracies: tuple[Store, pd.DataFrame]) -> None:
    """Iman & Davenport's form of Friedman's test is the F-test of ranks, methods within questions."""
    store, table = accuracies
    ranks = table.rank(axis=1).stack().rename_axis(["question", "method"]).rename("rank").reset_index()
    anova = peer("statsmodels.stats.anova").AnovaRM(ranks, "rank", "question", within=["method"]).fit()
    assert average_ranks(load_frame(store)).p == near(anova.anova_table["Pr > F"].iloc[0], abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_holms_correction(peer: Peer, seed: int) -> None:
    """With ties, and values that are 1 when corrected."""
    values = np.random.default_rng(seed).choice(np.geomspace(1e-4, 1, 9), 12).tolist()
    theirs = peer("statsmodels.stats.multitest").multipletests(values, method="holm")
    assert holm(values) == near(list(theirs[1]), abs=1e-12)


def test_critical_difference_is_nemenyis(peer: Peer, accuracies: tuple[Store, pd.DataFrame]) -> None:
    """Two ranks that are as far apart as ours says have p = 0.05 by scikit-posthocs."""
    store, table = accuracies
    ranks = average_ranks(load_frame(store))
    p = peer("scikit_posthocs").posthoc_nemenyi_friedman(table)
    assert ranks.critical is not None
    limit, apart = stats.studentized_range.ppf(0.95, 5, np.inf), 0
    for one, other in permutations(table, 2):
        gap = abs(ranks.mean[one] - ranks.mean[other])
        apart += gap > ranks.critical
        expected = stats.studentized_range.sf(gap / ranks.critical * limit, 5, np.inf)
        assert p.loc[one, other] == near(expected, abs=1e-6)
        assert (p.loc[one, other] < 0.05) == (gap > ranks.critical)
    assert 0 < apart < 20


def test_variance_between_runs_is_an_analysis_of_variance(peer: Peer) -> None:
    """Interaction of methods and runs: the residual of a linear model of both."""
    values = np.random.default_rng(2).normal(60, 3, (4, 3))
    method, run = (np.eye(n)[index.ravel()] for n, index in zip((4, 3), np.indices((4, 3)), strict=True))
    fit = peer("statsmodels.api").OLS(values.ravel(), np.hstack([method, run[:, 1:]])).fit()
    found = pooled_between(values)
    assert found is not None
    assert found.freedom == fit.df_resid
    assert found.variance == near(2 * fit.mse_resid / 3, abs=1e-6)


def test_interval_over_runs_is_students(peer: Peer) -> None:
    """Where all images are answered alike, runs alone are uncertain."""
    runs = np.array([61.0, 64.5, 60.5])
    found = run_error(runs, np.tile(runs, (50, 1)))
    assert found is not None
    theirs = peer("statsmodels.stats.weightstats").DescrStatsW(runs)
    assert tuple(found.interval(runs.mean())) == near(theirs.tconfint_mean(), abs=1e-6)
    assert found.p_value(runs.mean() - 55.0) == near(theirs.ttest_mean(55.0)[1], abs=1e-6)


def test_calibration_error(peer: Peer) -> None:
    random = np.random.default_rng(3)
    logits, labels = random.normal(0, 2, (80, 5)).astype(np.float32), random.integers(5, size=80)
    right, lost = classified(logits, labels)
    theirs = peer("torchmetrics.functional.classification").multiclass_calibration_error(
        torch.from_numpy(logits).softmax(1), torch.from_numpy(labels), num_classes=5, n_bins=15
    )
    assert calibration_error(image_predictions(logits, labels, lost), right) == near(float(theirs), abs=1e-6)
