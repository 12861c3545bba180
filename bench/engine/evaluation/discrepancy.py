"""Discrepancy of two domains' features: kernel distance, and how well a classifier tells them apart.

Pure functions of features; the engine calls them at its evaluations, outside the methods.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bench.method.maths.logistic import Logistic

L2 = 0.1
"""Strength of the domain classifier's penalty relative to the features' variance. Fixed, so that it says the
same at every evaluation; without one, features of more dimensions than images can always be told apart."""


def mmd(source: Tensor, target: Tensor) -> float:
    """Squared maximum mean discrepancy, unbiased: (Ns, D), (Nt, D) -> about 0 where the two are alike.

    Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3, https://jmlr.org/papers/v13/gretton12a.html.
    Kernel exp(-d² / 2σ²), σ the median distance between images of both together, so that a network which
    scales its features changes nothing.
    """
    x = torch.cat([source, target]).double()
    squared = torch.cdist(x, x).square()
    n, m = len(source), len(target)
    pairs = torch.triu_indices(n + m, n + m, offset=1, device=x.device)
    width = squared[pairs[0], pairs[1]].quantile(0.5).clamp_min(torch.finfo(x.dtype).tiny)
    kernel = torch.exp(-squared / (2 * width))
    within_source = (kernel[:n, :n].sum() - n) / (n * (n - 1))
    within_target = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return float(within_source + within_target - 2 * kernel[:n, n:].mean())


def domain_scores(
    source: Tensor, target: Tensor, source_groups: np.ndarray, target_groups: np.ndarray, seed: int
) -> tuple[Tensor, Tensor] | None:
    """Log-odds of "source" of every image, from a linear classifier that has not seen it.

    Logistic regression by two-fold cross-fitting; related images are in one fold.

    Args:
        source, target: (Ns, D), (Nt, D) features.
        source_groups, target_groups: (Ns,), (Nt,); images that share a number are related.
        seed: of the folds.

    Returns:
        (Ns,), (Nt,); None where a fold would lack a domain.
    """
    x = torch.cat([source, target]).double()
    y = torch.cat([torch.ones(len(source)), torch.zeros(len(target))]).long().to(x.device)
    folds = np.concatenate([_fold(source_groups, seed), _fold(target_groups, seed)])
    is_source = y.cpu().numpy() == 1
    if any(not (domain & (folds == fold)).any() for domain in (is_source, ~is_source) for fold in (0, 1)):
        return None
    problem = Logistic(x, y, x.new_zeros(x.shape[1], 2), x.new_zeros(2))
    learns = torch.from_numpy(np.stack([folds != 0, folds != 1])).to(x.device)
    logits = problem.logits(problem.solve(L2, learns))[
        torch.from_numpy(folds).to(x.device), torch.arange(len(x))
    ]
    odds = logits[:, 1] - logits[:, 0]
    return odds[: len(source)], odds[len(source) :]


def _fold(groups: np.ndarray, seed: int) -> np.ndarray:
    """0 or 1 for each image, the same for all of a group."""
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    return order[np.searchsorted(names, groups)] % 2


def proxy_a_distance(source_odds: Tensor, target_odds: Tensor) -> float:
    """2 (1 - 2 ε), ε the held-out error of telling the domains apart: 0 alike, 2 told apart without error.

    Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", section 4. ε is the mean of
    both domains' errors, so that unequal numbers of images decide nothing.

    Args:
        source_odds, target_odds: (Ns,), (Nt,) log-odds of "source", see `domain_scores`.
    """
    prior = math.log(len(source_odds) / len(target_odds))
    error = ((source_odds <= prior).double().mean() + (target_odds > prior).double().mean()) / 2
    return float(2 * (1 - 2 * error))
