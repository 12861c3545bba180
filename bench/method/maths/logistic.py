"""Multinomial logistic regression on frozen features: exact, fast, its strength chosen without other labels.

Several methods end or begin with such a head, so its solver lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.processes.threads import one_blas_thread

GRID = tuple(float(10.0**e) for e in np.arange(0.5, -4.1, -0.5))
"""Strengths that cross-validation chooses from, strongest first."""
USUAL = 0.01
"""Strength where neither folds nor a stage before can say: the best on four pairs of emoji at one shot."""
PATIENCE = 2
NEGLIGIBLE = 1e-7
"""Length of a principal direction, relative to the longest, that is taken for none."""
LEAST_CURVATURE = 0.02
"""Share of Böhning's bound that the curvature is taken for at least."""


def fit_logistic(
    head: nn.Linear, x: Tensor, y: Tensor, groups: Tensor, seed: int, l2: float = 0.0, folds: int = 5
) -> dict[str, float]:
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
        The chosen strength `l2`, the number of `folds`, 0 where none was possible, and of `images`.
    """
    # Threads of SciPy's BLAS and of torch would wait for each other at every one of many small steps.
    with one_blas_thread():
        weight, bias = head.weight.detach().double(), head.bias.detach().double()
        problem = Logistic(x.double(), y, weight.T, bias)
        dealt = grouped_folds(y.cpu().numpy(), groups.cpu().numpy(), 0 if l2 else folds, seed)
        learns = torch.from_numpy(dealt).to(x.device)
        if len(learns):
            l2, start = cross_validate(problem, learns, GRID)
            solution = problem.solve(l2, start=start)
        else:
            # One image per class leaves nothing to validate on.
            l2 = l2 or USUAL
            solution = problem.solve(max(GRID))
            for step in [strength for strength in GRID[1:] if strength > l2] + [l2]:
                solution = problem.solve(step, start=solution)
        weight, bias = problem.weights(solution)
    with torch.no_grad():
        head.weight.copy_(weight.T)
        head.bias.copy_(bias)
    return {"l2": l2, "folds": len(learns), "images": len(y)}


def strength_before(before: Mapping[str, Any], y: Tensor, groups: Tensor) -> float:
    """Strength of a fit that no folds can choose, after a stage whose fit found `before`; 0: choose it.

    The penalty is a Gaussian prior of the weights, and the loss a mean: of the same prior the strength is in
    inverse proportion to the images.

    Args:
        before: findings of `fit_logistic` in the stage before; others, or none, say nothing.
        y, groups: (N,) of the images to fit.
    """
    if not {"l2", "images"} <= before.keys() or most_folds(y.cpu().numpy(), groups.cpu().numpy()) > 1:
        return 0.0
    return float(min(before["l2"] * before["images"] / len(y), max(GRID)))


class Logistic:
    """min over W, b: mean cross-entropy(x W + b, y) + l2 v / 2 ||W - W0||², v the features' variance.

    Solved in the basis of the centred features' singular vectors, where the solution has at most N
    coordinates per class and Böhning's bound of the Hessian (1992, https://doi.org/10.1007/BF00048682) is
    nearly diagonal. Scaled by the Hessian's diagonal where it starts, L-BFGS needs tens of iterations.

    Args:
        x: (N, D) features, float64.
        y: (N,) labels, or (N, C) shares of the classes.
        weight: (D, C) where the penalty pulls to, W0; bias: (C,) where the search begins.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.mean = x.mean(0)
        self.coordinates, self._back = principal(x - self.mean)
        self.design = torch.cat([torch.ones_like(x[:, :1]), self.coordinates], 1)
        variances = self.coordinates.square().mean(0)
        self.curvature = variances / 2
        self.variance = float(variances.sum()) or 1.0
        self.prior_weight, self.prior_bias = weight, bias + self.mean @ weight
        self.prior_logits = (x - self.mean) @ weight + self.prior_bias
        self.y = y

    def solve(
        self, l2: float, folds: Tensor | None = None, start: Tensor | None = None, coarse: bool = False
    ) -> Tensor:
        """Solve for the distances of bias and weights from the prior: (F, 1 + coordinates, C).

        Args:
            l2: strength relative to the features' variance.
            folds: (F, N), whether a fold learns from an image; None: one fold that learns from all. Folds
                are problems apart, solved together because large products are faster than many small ones.
            start: (F, 1 + coordinates, C) to begin at.
            coarse: in single precision and to a relative change of 1e-5, enough to compare strengths: their
                losses differ by far more.
        """
        dtype = torch.float32 if coarse else self.coordinates.dtype
        design, prior = self.design.to(dtype), self.prior_logits.to(dtype)
        device = design.device
        learns = torch.ones(1, len(self.y), device=device) if folds is None else folds.to(device)
        shape = (len(learns), design.shape[1], prior.shape[1])
        # Mean over a fold's images: (N, F, 1).
        share = (learns / learns.sum(1, keepdim=True)).to(dtype).T[:, :, None]
        penalty = torch.full((design.shape[1], 1, 1), l2 * self.variance, dtype=dtype, device=device)
        penalty[0] = 0.0
        shares = self.y if self.y.ndim > 1 else torch.nn.functional.one_hot(self.y, shape[2])
        target = shares.to(dtype)[:, None]

        first = torch.zeros(shape, dtype=dtype, device=device) if start is None else start.to(dtype)
        first = first.transpose(0, 1).contiguous()

        def logits(theta: Tensor) -> Tensor:
            return prior[:, None] + (design @ theta.flatten(1)).view(-1, shape[0], shape[2])

        # Sum of p (1 - p) z² over a fold's images, which the bound exceeds many times where classes are told
        # apart; where they are told for certain it is nearly 0, and says little of what is a step away.
        p = torch.softmax(logits(first), 2)
        spread = (p * (1 - p)).mul_(share)
        bound = torch.cat([self.curvature.new_tensor([0.5]), self.curvature]).to(dtype)[:, None, None]
        diagonal = (design.square().T @ spread.flatten(1)).view_as(first).maximum(LEAST_CURVATURE * bound)
        scale = (penalty + diagonal).clamp_min(1e-12).rsqrt()
        free = (first / scale).requires_grad_()

        @torch.no_grad()
        def value() -> float:
            theta = free * scale
            log_p = torch.log_softmax(logits(theta), 2)
            shrunk = penalty * theta
            loss = 0.5 * (shrunk * theta).sum(dtype=torch.float64)
            loss -= (log_p * target * share).sum(dtype=torch.float64)
            residual = log_p.exp_().sub_(target).mul_(share)
            free.grad = (design.T @ residual.flatten(1)).view_as(theta).add_(shrunk).mul_(scale)
            return float(loss)

        _lbfgs(free, 1e-5 if coarse else 1e-12).step(value)
        return (free.detach() * scale).to(self.coordinates.dtype).transpose(0, 1)

    def logits(self, solution: Tensor) -> Tensor:
        """(F, N, C) logits of the training images, for the solutions of F folds."""
        return self.prior_logits + self.design @ solution

    def weights(self, solution: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (D, C) and bias (C,) for raw features, of a solution of one fold."""
        bias, inner = solution[0, 0], solution[0, 1:]
        weight = self.prior_weight + self._back(inner)
        return weight, self.prior_bias + bias - self.mean @ weight


def _lbfgs(free: Tensor, tolerance: float) -> torch.optim.LBFGS:
    # Many small folds make vectors so long that SciPy's L-BFGS would take longer than the products.
    return torch.optim.LBFGS(
        [free],
        max_iter=500,
        max_eval=1000,
        tolerance_grad=1e-6,
        tolerance_change=tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )


def principal(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Coordinates (N, K) of x in an orthonormal basis, K = min(N, D), and the map back from there.

    That takes (K, C) to (D, C) of features, basis.T @ it, without making the basis, which is as large as x.

    Columns of coordinates are orthogonal. Of (N, D) float64, by the eigenvectors of the smaller Gram matrix,
    which takes a quarter of the time of singular vectors. Where that is N x N, directions shorter than
    `NEGLIGIBLE` of the longest are rounding errors, and left at zero.
    """
    if len(x) > x.shape[1]:
        basis = torch.linalg.eigh(x.T @ x).eigenvectors
        return x @ basis, lambda inner: basis @ inner
    squared, u = torch.linalg.eigh(x @ x.T)
    lengths = squared.clamp_min(0).sqrt()
    there = lengths > NEGLIGIBLE * lengths[-1]
    inverse = torch.where(there, 1 / lengths, 0)
    return u * torch.where(there, lengths, 0), lambda inner: x.T @ ((u * inverse) @ inner)


def cross_validate(problem: Logistic, folds: Tensor, grid: tuple[float, ...]) -> tuple[float, Tensor]:
    """Choose the strength of the smallest mean held-out cross-entropy, and the mean of its folds' solutions.

    `grid` begins with the strongest; weaker ones take longer. They are left out once the loss has risen
    `PATIENCE` times in a row: along the path of a convex problem the loss on other images falls, then rises.

    Args:
        problem: with N images.
        folds: (F, N), whether a fold learns from an image; the others are held out.
        grid: strengths relative to the features' variance.
    """
    losses: list[float] = []
    solutions: list[Tensor] = []
    held_out = ~folds
    y = problem.y.expand(len(folds), -1)
    for l2 in grid:
        # Steps along the path are equal in the strength's logarithm, and one is much like the next.
        *_, before, last = [None, None, *solutions]
        start = last if before is None else 2 * last - before
        solutions.append(problem.solve(l2, folds, start, coarse=True))
        log_p = problem.logits(solutions[-1]).log_softmax(2).gather(2, y[:, :, None])[:, :, 0]
        losses.append(-float(((log_p * held_out).sum(1) / held_out.sum(1)).mean()))
        if int(np.argmin(losses)) < len(losses) - PATIENCE:
            break
    best = int(np.argmin(losses))
    return grid[best], solutions[best].mean(0, keepdim=True)


def most_folds(y: np.ndarray, groups: np.ndarray) -> int:
    """Most folds of images with labels (N,) that each hold out a group (N,) of every class."""
    return min(len(np.unique(groups[y == label])) for label in np.unique(y))


def grouped_folds(y: np.ndarray, groups: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Deal images to folds: bool (F, N), learnt from or held out; F = 0 if a class has but one group.

    Each class's groups, which count for the class of their first image, are dealt to the folds in turn.

    Args:
        y: (N,) labels.
        groups: (N,); images that share a number stay together.
        wanted: folds; fewer where a class has fewer groups.
        seed: of the order in which a class's groups are dealt.
    """
    count = min(wanted, most_folds(y, groups))
    if count < 2:
        return np.ones((0, len(y)), bool)
    names, first, places = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(y[first][order], kind="stable")]
    # The next class goes on where the one before it ended, so that folds are of one size.
    fold = np.empty(len(names), int)
    fold[order] = np.arange(len(names)) % count
    return np.arange(count)[:, None] != fold[places]
