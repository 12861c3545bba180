"""Embeddings of kept features in two dimensions, and numbers of them in all dimensions.

The only file of the report that uses scikit-learn, which it loads when it is called, and does without
where an installation for reports lacks it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

Projection = Callable[[np.ndarray], np.ndarray]
"""(N, D) -> (N, 2)."""

NEIGHBOURS = 5
DIMENSIONS = 50
"""Principal components that t-SNE and UMAP begin with, as van der Maaten & Hinton (2008) did."""
STRENGTH = 0.1
"""Strength of the domain classifier's penalty, beside features of variance one; as `discrepancy` has it."""
SEED = 0


def pca(features: np.ndarray) -> np.ndarray:
    """First two principal components: (N, D) -> (N, 2)."""
    return principal(features, 2)


def tsne(features: np.ndarray) -> np.ndarray:
    """van der Maaten & Hinton 2008, "Visualizing Data using t-SNE": (N, D) -> (N, 2).

    Perplexity 30 or what few images allow; begun from the principal components, so that it draws no lots. Of
    some hundreds of images, 500 steps come within 2 % of the divergence that 1000 reach.
    """
    from sklearn.manifold import TSNE

    start = principal(features, DIMENSIONS)
    perplexity = min(30.0, (len(start) - 1) / 3)
    found = TSNE(init="pca", perplexity=perplexity, max_iter=500, random_state=SEED)
    return np.asarray(found.fit_transform(start))


def umap(features: np.ndarray) -> np.ndarray:
    """McInnes et al. 2018, "UMAP", https://arxiv.org/abs/1802.03426: (N, D) -> (N, 2)."""
    from umap import UMAP

    start = principal(features, DIMENSIONS)
    found = UMAP(n_neighbors=min(15, len(start) - 1), random_state=SEED, n_jobs=1)
    return np.asarray(found.fit_transform(start))


def projections() -> dict[str, Projection]:
    """Ways to draw features, by name; t-SNE and UMAP where scikit-learn and umap-learn are installed."""
    found: dict[str, Projection] = {"PCA": pca}
    found |= {"t-SNE": tsne} if find_spec("sklearn") else {}
    return found | ({"UMAP": umap} if find_spec("umap") else {})


def principal(features: np.ndarray, count: int) -> np.ndarray:
    """Scores on the first principal components, float32: (N, D) -> (N, min(count, N, D)), signs fixed."""
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    left, sizes, _ = np.linalg.svd(x, full_matrices=False)
    scores = (left * sizes)[:, :count]
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return (scores * np.where(largest < 0, -1.0, 1.0)).astype(np.float32)


def purity(features: np.ndarray, classes: np.ndarray, groups: np.ndarray) -> float | None:
    """Percent of the nearest images that are of the same class; None: no image has another of its class.

    Of each image the `NEIGHBOURS` nearest by Euclidean distance, in all dimensions, related ones left out.

    Args:
        features: (N, D).
        classes, groups: (N,); images that share a group are related.
    """
    x = features.astype(np.float64)
    squares = (x**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * x @ x.T
    distances[groups[:, None] == groups] = np.inf
    others = np.isfinite(distances)
    same = (classes[:, None] == classes) & others
    known = same.any(axis=1) & (others.sum(axis=1) >= NEIGHBOURS)
    if not known.any():
        return None
    nearest = np.argsort(distances[known], axis=1, kind="stable")[:, :NEIGHBOURS]
    return 100.0 * float((classes[nearest] == classes[known][:, None]).mean())


def a_distance(features: np.ndarray, is_source: np.ndarray, groups: np.ndarray) -> float | None:
    """Proxy A-distance 2 (1 - 2 ε), ε the held-out error of telling the domains apart: 0 alike, 2 apart.

    Ben-David et al. 2007, "Analysis of Representations for Domain Adaptation", section 4; logistic
    regression, two folds of whole groups, ε the mean of both domains' errors. None where a fold lacks a
    domain, or this machine scikit-learn.

    Args:
        features: (N, D).
        is_source: bool (N,).
        groups: (N,); images that share a group are in one fold.
    """
    if find_spec("sklearn") is None:
        return None
    from sklearn.linear_model import LogisticRegression

    names = np.unique(groups)
    order = np.random.default_rng(SEED).permutation(len(names))
    folds = order[np.searchsorted(names, groups)] % 2
    if any(not (domain & (folds == fold)).any() for domain in (is_source, ~is_source) for fold in (0, 1)):
        return None
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    x /= max(float(x.std()), np.finfo(float).tiny)
    predicted = np.empty(len(x), dtype=bool)
    for fold in (0, 1):
        seen, held_out = folds != fold, folds == fold
        model = LogisticRegression(C=1 / (STRENGTH * seen.sum()), class_weight="balanced", max_iter=1000)
        predicted[held_out] = model.fit(x[seen], is_source[seen]).predict(x[held_out])
    error = np.mean([(~predicted[is_source]).mean(), predicted[~is_source].mean()])
    return float(2 * (1 - 2 * error))
