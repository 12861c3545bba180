"""Multinomial logistic regression on frozen features: exact, fast, its strength chosen without other labels.

Several methods end or begin with such a head, so its solver lives here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

GRID = tuple(float(10.0**e) for e in np.arange(0.5, -4.1, -0.5))
"""Strengths that cross-validation chooses from, strongest first: each warm-starts the next."""
PATIENCE = 2
ENOUGH = 1e-5
"""Relative exactness of the solutions that are compared with each other: strengths differ by far more."""


def fit_logistic(
    head: nn.Linear, x: Tensor, y: Tensor, groups: Tensor, seed: int, l2: float = 0.0, folds: int = 5
) -> dict[str, Any]:
    """Fit a linear head in place, penalising its squared distance from where it is.

    Args:
        head: (D -> C); at zero this is ordinary ridge-penalised regression, elsewhere L2-SP (Li et al. 2018).
        x: (N, D) features.
        y: (N,) labels.
        groups: (N,) images that share a number stay in one fold.
        seed: of the folds.
        l2: strength relative to the features' variance; 0 chooses it from `GRID` by cross-validation.
        folds: at most this many; fewer where a class has fewer groups.

    Returns:
        The chosen strength `l2` and the number of `folds`, 0 where none was possible.
    """
    # Threads of SciPy's BLAS and of torch would wait for each other at every one of many small steps.
    with threadpool_limits(1, user_api="blas"):
        weight, bias = head.weight.detach().double(), head.bias.detach().double()
        problem = Logistic(x.double(), y, weight.T, bias)
        pairs = [] if l2 else _folds(y.cpu().numpy(), groups.cpu().numpy(), folds, seed)
        if pairs:
            l2, start = cross_validate(problem, pairs, GRID)
            solution = problem.solve(l2, start=start)
        else:
            # One image per class leaves nothing to validate on: the middle of the grid.
            l2 = l2 or GRID[len(GRID) // 2]
            solution = problem.solve(max(GRID))
            for step in [strength for strength in GRID[1:] if strength > l2] + [l2]:
                solution = problem.solve(step, start=solution)
        weight, bias = problem.weights(solution)
    with torch.no_grad():
        head.weight.copy_(weight.T)
        head.bias.copy_(bias)
    return {"l2": l2, "folds": len(pairs)}


class Logistic:
    """min over W, b: mean cross-entropy(x W + b, y) + l2 v / 2 ||W - W0||², v the features' variance.

    Solved in the basis of the centred features' singular vectors, where the solution has at most N
    coordinates per class and Böhning's bound of the Hessian (1992, https://doi.org/10.1007/BF00048682) is
    nearly diagonal: scaled by it, L-BFGS needs tens of iterations.

    Args:
        x: (N, D) features, float64.
        y: (N,) labels.
        weight: (D, C) where the penalty pulls to, W0; bias: (C,) where the search begins.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.mean = x.mean(0)
        u, s, vt = torch.linalg.svd(x - self.mean, full_matrices=False)
        self.coordinates, self.basis = u * s, vt
        self.curvature = s.square() / (2 * len(x))
        self.variance = float(s.square().sum() / len(x)) or 1.0
        self.prior_weight, self.prior_bias = weight, bias + self.mean @ weight
        self.prior_logits = (x - self.mean) @ weight + self.prior_bias
        self.y = y

    def solve(
        self, l2: float, rows: Tensor | None = None, start: Tensor | None = None, exactness: float = 1e-12
    ) -> Tensor:
        """(1 + coordinates, C): the bias' and the weights' distance from the prior, on some rows.

        Ends where a step lowers the objective by less than `exactness`, relative to it.
        """
        a = self.coordinates if rows is None else self.coordinates[rows]
        prior = self.prior_logits if rows is None else self.prior_logits[rows]
        y = self.y if rows is None else self.y[rows]
        design = torch.cat([torch.ones(len(a), 1, dtype=a.dtype, device=a.device), a], 1)
        penalty = torch.full((design.shape[1], 1), l2 * self.variance, dtype=a.dtype, device=a.device)
        penalty[0] = 0.0
        scale = penalty + torch.cat([a.new_tensor([0.5]), self.curvature])[:, None]
        scale = scale.clamp_min(1e-12).rsqrt()
        target = torch.zeros_like(prior)
        target[torch.arange(len(y), device=y.device), y] = 1.0
        shape = (design.shape[1], prior.shape[1])

        def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            theta = torch.from_numpy(flat).to(a.device).view(shape) * scale
            logits = prior + design @ theta
            log_p = torch.log_softmax(logits, 1)
            value = -(log_p * target).sum() / len(y) + 0.5 * (penalty * theta.square()).sum()
            gradient = design.T @ (log_p.exp() - target) / len(y) + penalty * theta
            return float(value), (gradient * scale).cpu().numpy().ravel()

        first = torch.zeros(shape, dtype=a.dtype, device=a.device) if start is None else start
        result = minimize(
            value_and_gradient,
            (first / scale).cpu().numpy().ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "gtol": 1e-6, "ftol": exactness},
        )
        return torch.from_numpy(result.x).to(a.device).view(shape) * scale

    def logits(self, solution: Tensor, rows: Tensor) -> Tensor:
        """(rows, C) logits of some of the training images."""
        return self.prior_logits[rows] + self.coordinates[rows] @ solution[1:] + solution[0]

    def weights(self, solution: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (D, C) and bias (C,) for raw features."""
        weight = self.prior_weight + self.basis.T @ solution[1:]
        return weight, self.prior_bias + solution[0] - self.mean @ weight


def cross_validate(
    problem: Logistic, folds: list[tuple[Tensor, Tensor]], grid: tuple[float, ...]
) -> tuple[float, Tensor]:
    """The strength of the smallest mean held-out cross-entropy, and the mean of its folds' solutions.

    `grid` begins with the strongest; weaker ones take longer. They are left out once the loss has risen
    `PATIENCE` times in a row: along the path of a convex problem the loss on other images falls, then rises.
    """
    losses: list[float] = []
    means: list[Tensor] = []
    solutions: list[Tensor | None] = [None] * len(folds)
    for l2 in grid:
        found = []
        for fold, (train, held_out) in enumerate(folds):
            solutions[fold] = solution = problem.solve(l2, train, solutions[fold], ENOUGH)
            scores = problem.logits(solution, held_out)
            found.append(float(torch.nn.functional.cross_entropy(scores, problem.y[held_out])))
        losses.append(float(np.mean(found)))
        means.append(torch.stack([solution for solution in solutions if solution is not None]).mean(0))
        if int(np.argmin(losses)) < len(losses) - PATIENCE:
            break
    best = int(np.argmin(losses))
    return grid[best], means[best]


def _folds(y: np.ndarray, groups: np.ndarray, wanted: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Stratified folds that keep groups together; none where a class has a single group."""
    smallest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    if min(smallest, wanted) < 2:
        return []
    split = StratifiedGroupKFold(min(smallest, wanted), shuffle=True, random_state=seed % 2**32)
    return [
        (torch.from_numpy(train), torch.from_numpy(test))
        for train, test in split.split(y[:, None], y, groups)
    ]
