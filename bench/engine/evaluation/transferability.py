"""Transferability of a network's features to a task, without training. Higher is better for each score.

Pure functions of features, labels and, for LEEP, the source classifier's probabilities.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf

GRID = tuple(np.linspace(math.log(1e-8), math.log(1e8), 65).tolist())
"""log(α / β) over the features' mean squared singular value, among which the best evidence is looked for."""


def log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """Log maximum evidence per image of a linear model of each class's indicator, mean over classes.

    You et al. 2021, "LogME", https://arxiv.org/abs/2102.11005, equation 2: weights from N(0, I / α), noise
    N(0, 1 / β), at the α and β of the highest evidence. The paper iterates to a fixed point; here β is
    eliminated (it has a closed form given r = α / β) and r found on a grid and refined, which no slow
    convergence or local maximum can stop.

    Args:
        features: (N, D).
        labels: (N,) classes 0 to C - 1.
    """
    f = features.astype(np.float64)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    values = s**2
    scale = float(values.mean()) or 1.0
    evidence = []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)
        projected = (u.T @ y) ** 2
        # y's part outside the features' span, which no weights explain.
        outside = max(float(y @ y - projected.sum()), 0.0)

        def loss(log_r: float, projected: np.ndarray = projected, outside: float = outside) -> float:
            """- log N(y; 0, (I + FF' / r) / β) at the best β, per image."""
            spread = 1 + values / (scale * math.exp(log_r))
            misfit = float((projected / spread).sum()) + outside
            n = len(f)
            return 0.5 * (math.log(2 * math.pi * misfit / n) + float(np.log(spread).sum()) / n + 1)

        best = min(GRID, key=loss)
        step = GRID[1] - GRID[0]
        found = minimize_scalar(
            loss, bounds=(best - step, best + step), method="bounded", options={"xatol": 1e-9}
        )
        evidence.append(-min(float(found.fun), loss(best)))
    return float(np.mean(evidence))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """tr(cov(f)⁻¹ cov(E[f | y])): between-class over total variance, in [0, C - 1].

    Bao et al. 2019, "An Information-Theoretic Approach to Transferability", https://arxiv.org/abs/2212.10082,
    definition 2. With fewer images than features every network gets the same value: use `shrunk_h_score`.
    """
    f, between = _covariances(features, labels)
    return _ratio(f.T @ f / len(f), between)


def shrunk_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score with the covariance shrunk by Ledoit & Wolf's amount δ: (1 - δ) tr(cov_δ(f)⁻¹ cov(E[f | y])).

    Ibrahim et al. 2022, "Newer is not always better", https://arxiv.org/abs/2110.06893, section 3. Features
    that are the same for every image say nothing of the class: 0.
    """
    f, between = _covariances(features, labels)
    shrunk, amount = ledoit_wolf(f, assume_centered=True)
    return (1 - amount) * _ratio(shrunk, between)


def _ratio(total: np.ndarray, between: np.ndarray) -> float:
    """tr(total⁻¹ between) of covariances (D, D), over the directions in which anything varies."""
    return float(np.trace(np.linalg.pinv(total, rcond=1e-12, hermitian=True) @ between))


def _covariances(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred features (N, D), and the covariance (D, D) of each image's class mean."""
    f = features.astype(np.float64)
    f = f - f.mean(0)
    means = np.zeros_like(f)
    for label in np.unique(labels):
        means[labels == label] = f[labels == label].mean(0)
    return f, means.T @ means / len(f)


def leep(source: np.ndarray, labels: np.ndarray) -> float:
    """Mean log-likelihood in nats of the labels given the source classes that a network predicts.

    Nguyen et al. 2020, "LEEP", https://arxiv.org/abs/2002.12462, equations 1 and 2.

    Args:
        source: (N, source classes) probabilities of the network's own classifier.
        labels: (N,) classes 0 to C - 1.
    """
    z = source.astype(np.float64)
    member = np.eye(int(labels.max()) + 1)[labels]
    joint = member.T @ z / len(z)
    conditional = joint / np.maximum(joint.sum(0), 1e-300)
    return float(np.log((z @ conditional.T)[np.arange(len(z)), labels]).mean())


def trans_rate(features: np.ndarray, labels: np.ndarray, epsilon: float = 1e-4) -> float:
    """Coding rate of all features less that of each class's, in nats.

    Huang et al. 2022, "Frustratingly Easy Transferability Estimation", https://arxiv.org/abs/2106.09362,
    equation 3: R(Z) = 1/2 log det(I + Z'Z / (N ε)), features centred and scaled to unit Frobenius norm.
    """
    z = features.astype(np.float64)
    z = z - z.mean(0)
    z = z / max(float(np.linalg.norm(z)), 1e-300)

    def rate(part: np.ndarray) -> float:
        return 0.5 * float(np.log1p(np.linalg.svd(part, compute_uv=False) ** 2 / (len(part) * epsilon)).sum())

    classes = [z[labels == label] for label in np.unique(labels)]
    return rate(z) - sum(len(part) * rate(part) for part in classes) / len(z)
