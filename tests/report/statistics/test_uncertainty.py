from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.report.statistics.uncertainty import Error, domain_error, image_error, pooled_between, run_error

RANDOM = np.random.default_rng(0)


def test_without_covariance_it_is_the_t_test() -> None:
    runs = np.array([1.0, 2.5, 0.4])
    error = run_error(runs, np.tile(runs, (50, 1)))
    assert error.freedom == 2
    assert error.p_value(runs.mean()) == pytest.approx(stats.ttest_1samp(runs, 0).pvalue)
    expected = stats.ttest_1samp(runs, 0).confidence_interval()
    assert error.interval(runs.mean()) == pytest.approx(tuple(expected))


def test_what_images_do_to_all_runs_is_added() -> None:
    runs = np.array([10.0, 11.0, 12.0])
    common = RANDOM.normal(0, 2, (4000, 1))
    error = run_error(runs, runs + common)
    assert error.variance == pytest.approx(1 / 3 + 4, rel=0.1)
    assert error.freedom == pytest.approx(error.variance**2 / ((1 / 3) ** 2 / 2))


def test_two_runs_get_banerjees_interval() -> None:
    runs = np.array([10.0, 11.0])
    common = RANDOM.normal(0, 1, (100_000, 1))
    error = run_error(runs, runs + common)
    t, z = stats.t.ppf(0.975, 1), stats.norm.ppf(0.975)
    half = error.interval(10.5).high - 10.5
    assert half == pytest.approx(math.sqrt(t**2 * 0.25 + z**2 * float(np.var(common, ddof=1))), rel=1e-3)
    assert run_error(runs, np.tile(runs, (50, 1))).freedom == pytest.approx(1.0)


def test_noise_of_each_run_is_not_counted_twice() -> None:
    runs = np.array([10.0, 11.0, 12.0])
    error = run_error(runs, runs + RANDOM.normal(0, 2, (4000, 3)))
    assert error.variance == pytest.approx(1 / 3, abs=0.15)


def test_pooling_is_the_interaction_of_an_analysis_of_variance() -> None:
    runs = RANDOM.normal(size=(4, 3)) + np.arange(3) * 10
    pooled = pooled_between(runs)
    rest = runs - runs.mean(1, keepdims=True) - runs.mean(0) + runs.mean()
    assert pooled.freedom == 6
    assert pooled.variance == pytest.approx(2 * (rest**2).sum() / 6 / 3)
    two = pooled_between(runs[:2])
    gaps = runs[0] - runs[1]
    assert two.variance == pytest.approx(gaps.var(ddof=1) / 3), "with two methods there is nothing to pool"


def test_a_method_that_varies_more_keeps_its_own_variance() -> None:
    runs = np.array([0.0, 10.0, 20.0])
    still = np.tile(runs, (10, 1))
    assert run_error(runs, still, Error(0.1, 12)).variance == pytest.approx(100 / 3)
    assert run_error(runs, still, Error(50.0, 12)).variance == 50.0


def test_satterthwaite() -> None:
    assert (Error(1.0, 2) + Error(1.0, 2)) == Error(2.0, 4.0)
    assert (Error(1.0, 3) + Error(0.0, 5)).freedom == 3


def test_domains_by_hand() -> None:
    # Only the target matters: 1, 2, 3, 6; the jackknife of a mean of n values is their variance / n.
    values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0}
    pairs = [(None, name) for name in values]
    error = domain_error(list(values.values()), pairs)
    assert error.variance == pytest.approx(np.var([1, 2, 3, 6], ddof=1) / 4)
    assert error.freedom == 3
    crossed = [(s, t) for s in values for t in values if s != t]
    assert domain_error([values[t] for _, t in crossed], crossed).variance == pytest.approx(
        np.var([1, 2, 3, 6], ddof=1) / 4
    )
    fixed = [("z", name) for name in values]
    assert domain_error(list(values.values()), fixed) == error, "a source that all share does not vary"


def test_what_cannot_be_said_is_none() -> None:
    assert run_error(np.array([1.0]), np.ones((10, 1))) is None
    assert run_error(np.array([1.0, 1.0]), np.ones((10, 2))) is None
    assert image_error(np.array([1.0, 2.0, 3.0]), 1) is None
    assert image_error(np.ones(9), 20) is None
    assert pooled_between(np.ones((3, 1))) is None
    assert domain_error([1.0, 2.0], [("a", "b"), ("b", "a")]) is None
    assert domain_error([2.0] * 3, [(None, "a"), (None, "b"), (None, "c")]) is None


def test_runs_that_do_not_vary_leave_the_images() -> None:
    common = RANDOM.normal(0, 2, (4000, 1))
    error = run_error(np.array([5.0, 5.0]), 5.0 + np.hstack([common, common]))
    assert math.isinf(error.freedom)
    assert error.interval(5.0).high == pytest.approx(5 + 1.96 * 2, abs=0.2)
