"""Uncertainty of a mean: other test images, other runs and other domains.

Three sources of error, kept apart and then added:

- *images*: the covariance between runs that resampled groups of test images show (`scores.bootstrap`).
- *runs*: the variance between seeds, which holds the interaction of runs with images too.
- *domains*: a jackknife that leaves out one domain at a time, with all pairs it is part of.

Images and runs together are the analysis of Obuchowski & Rockette (1995), "Hypothesis testing of diagnostic
accuracy for multiple readers and multiple tests", with the degrees of freedom of Hillis (2007), "A comparison
of denominator degrees of freedom methods for multiple observer ROC studies": readers are our runs, cases our
test images. Two runs get the wider interval of Banerjee (1960), "Approximate confidence interval for linear
functions of means of k populations when the population variances are not equal", Sankhya 22.
`docs/reference/statistics.md` says why, and what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.report.scores.bootstrap import LEVEL, Interval

FEWEST_DOMAINS = 3
FREEDOMS = np.geomspace(1.0, 1e6, 3000)
QUANTILES = stats.t.ppf(0.5 + LEVEL / 2, FREEDOMS)
"""Quantiles of the t distribution on so many degrees of freedom, by which an interval is wide."""


@dataclass(frozen=True)
class Error:
    """Error of a mean: its variance (squared points) and the degrees of freedom behind that."""

    variance: float
    freedom: float

    @property
    def deviation(self) -> float:
        """Standard error, points."""
        return math.sqrt(self.variance)

    def interval(self, mean: float) -> Interval:
        """`mean` plus and minus the t quantile times the standard error."""
        half = float(stats.t.ppf(0.5 + LEVEL / 2, self.freedom)) * self.deviation
        return Interval(mean - half, mean + half)

    def p_value(self, mean: float) -> float:
        """Two-sided, of a true mean of zero."""
        return float(2 * stats.t.sf(abs(mean) / self.deviation, self.freedom))

    def __add__(self, other: Error) -> Error:
        """Independent errors together; degrees of freedom after Satterthwaite (1946)."""
        variance = self.variance + other.variance
        parts = self.variance**2 / self.freedom + other.variance**2 / other.freedom
        return Error(variance, variance**2 / parts if parts else math.inf)


def image_error(resamples: np.ndarray, groups: int) -> Error | None:
    """Error of a mean through test images alone, runs held fixed.

    None where resamples never differ: a single group of images, or nothing to be wrong about. That is a
    want of evidence, not an error of zero.

    Args:
        resamples: the mean under each resample of the groups, (R,).
        groups: how many groups of related images there are.
    """
    variance = float(np.nanvar(resamples, ddof=1))
    return Error(variance, groups - 1) if groups > 1 and variance > 1e-9 else None


def pooled_between(runs: np.ndarray) -> Error | None:
    """Error of a difference of two methods through runs alone, pooled over all methods.

    2 MS / R with MS the mean square of the interaction of methods and runs, on (methods - 1)(R - 1) degrees
    of freedom: the denominator of Obuchowski & Rockette (1995). None for a single run.

    Args:
        runs: the mean of each method in each run, (methods, runs).
    """
    methods, count = runs.shape
    if count < 2 or methods < 2:
        return None
    rest = runs - runs.mean(axis=1, keepdims=True) - runs.mean(axis=0) + runs.mean()
    freedom = (methods - 1) * (count - 1)
    return Error(2 * float((rest**2).sum()) / freedom / count, freedom)


def run_error(runs: np.ndarray, resamples: np.ndarray, pooled: Error | None = None) -> Error | None:
    """Error of the mean over runs, through runs and test images together.

    Var = S² / R + max(0, Cov), with S² the variance of the R runs and Cov the mean covariance of two runs
    over resamples of the images (Obuchowski & Rockette 1995, with equal weights); degrees of freedom
    Var² / ((S² / R)² / (R - 1)) (Hillis 2007), and fewer for two runs (`_banerjee`). None for a single run,
    or where nothing varies.

    Args:
        runs: the mean of each run, (runs,).
        resamples: the same under each resample of the images, (resamples, runs).
        pooled: error through runs alone that other methods show too (`pooled_between`). It lends its degrees
            of freedom; a method that varies more than the others keeps its own, larger S².
    """
    if len(runs) < 2:
        return None
    own = Error(float(np.var(runs, ddof=1)) / len(runs), len(runs) - 1)
    between = max(own.variance, pooled.variance) if pooled else own.variance
    freedom = pooled.freedom if pooled else own.freedom
    covariance = np.cov(resamples[np.isfinite(resamples).all(axis=1)], rowvar=False)
    common = float(covariance[~np.eye(len(runs), dtype=bool)].mean())
    variance = between + max(0.0, common)
    if variance <= 1e-9:
        return None
    if not between:
        return Error(variance, math.inf)
    if freedom < 2:
        return Error(variance, _banerjee(between / variance))
    return Error(variance, variance**2 / (between**2 / freedom))


def _banerjee(share: float) -> float:
    """Degrees of freedom of a variance of which this share, in (0, 1], is between two runs.

    Those at which the interval is Banerjee's (1960): t² between + z² rest, t on one degree of freedom, which
    never covers less than it says. Hillis' degrees of freedom rest on the variance of two runs, which is
    often small by accident, and their interval then is too narrow.
    """
    quantile = math.sqrt(share * QUANTILES[0] ** 2 + (1 - share) * QUANTILES[-1] ** 2)
    return float(np.interp(-quantile, -QUANTILES, FREEDOMS))


def domain_error(values: Sequence[float], pairs: Sequence[tuple[str | None, str]]) -> Error | None:
    """Error of a mean over pairs of domains through the choice of domains.

    Pairs that share a domain are not independent, so the unit that is left out is a domain with all its
    pairs: the delete-one jackknife, (n - 1) / n · Σ (θ₋ᵢ - θ̄)², which overstates the variance rather than
    understating it (Efron & Stein 1981). A side on which all pairs have the same domain is held fixed.
    None with fewer than three domains, or where values never differ.

    Args:
        values: one of each pair, points.
        pairs: (source, target); no source for kind `pretrained`.
    """
    sides = [set(side) for side in zip(*pairs, strict=True)]
    touched = [{d for d, side in zip(pair, sides, strict=True) if d and len(side) > 1} for pair in pairs]
    domains = sorted(set().union(*touched))
    known = np.asarray(values, dtype=float)
    left = [known[[domain not in of for of in touched]] for domain in domains]
    if len(domains) < FEWEST_DOMAINS or not all(len(rest) for rest in left):
        return None
    without = np.array([rest.mean() for rest in left])
    variance = float(((without - without.mean()) ** 2).sum()) * (len(domains) - 1) / len(domains)
    return Error(variance, len(domains) - 1) if variance > 1e-9 else None
