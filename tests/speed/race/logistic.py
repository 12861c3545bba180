"""A path of ten regularisation strengths of multinomial logistic regression: ours, and scikit-learn's.

On frozen features of one domain. Scikit-learn runs cold and warm-started, on one thread and on all of them;
the best of its four times counts. Objectives are compared at every strength.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bench.engine.cell.environment import default_threads
from bench.method.maths.logistic import GRID, Logistic
from tests.speed.race.track import Row, seconds


def race(x: torch.Tensor, y: torch.Tensor) -> Row:
    """Features (N, D) and labels (N,)."""
    x = x.double()
    classes, strengths = int(y.max()) + 1, GRID[:10]
    variance = float((x - x.mean(0)).square().sum() / len(x))

    def ours() -> list[tuple[np.ndarray, np.ndarray]]:
        with threadpool_limits(1, user_api="blas"):
            problem = Logistic(x, y, x.new_zeros(x.shape[1], classes), x.new_zeros(classes))
            path, solution = [], None
            for l2 in strengths:
                solution = problem.solve(l2, start=solution)
                weight, bias = problem.weights(solution)
                path.append((weight.numpy(), bias.numpy()))
        return path

    def theirs(warm: bool, threads: int) -> list[tuple[np.ndarray, np.ndarray]]:
        path = []
        model = LogisticRegression(warm_start=warm, max_iter=1000)
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for l2 in strengths:
                model.set_params(C=1 / (len(x) * l2 * variance)).fit(x.numpy(), y.numpy())
                path.append((model.coef_.T.copy(), model.intercept_.copy()))
        return path

    def objective(l2: float, weight: np.ndarray, bias: np.ndarray) -> float:
        logits = x @ torch.from_numpy(weight) + torch.from_numpy(bias)
        penalty = 0.5 * l2 * variance * float(np.square(weight).sum())
        return float(torch.nn.functional.cross_entropy(logits, y)) + penalty

    mine = ours()
    took = seconds(ours, 3)
    best, peer, gaps = np.inf, "", []
    for warm, threads in itertools.product((False, True), sorted({1, default_threads()})):
        found: list[list[tuple[np.ndarray, np.ndarray]]] = []
        time = seconds(lambda: found.append(theirs(warm, threads)))  # noqa: B023
        gaps += [
            objective(l2, *a) - objective(l2, *b) for l2, a, b in zip(strengths, mine, found[0], strict=True)
        ]
        if time < best:
            best, peer = time, f"{'warm' if warm else 'cold'}, {threads} threads"
    return Row(
        f"logistic regression, ten strengths, {len(x)} × {x.shape[1]}, {classes} classes",
        took,
        best,
        f"scikit-learn's LogisticRegression, {peer}",
        f"our objectives above theirs by at most {max(gaps):.1e}",
    )
