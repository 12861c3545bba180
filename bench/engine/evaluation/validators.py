"""Validators: scores of a model on unlabelled target images. Higher is better for each of them.

Pure functions of logits and features. The engine computes them at its evaluations, outside the methods, and
the rules in `bench.records.selection` choose by them. None uses a target label.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.engine.evaluation.discrepancy import domain_scores, mmd, proxy_a_distance
from bench.processes.threads import one_blas_thread

FEWEST = 4
"""Images of a domain below which nothing is said about it."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model for some images: logits (N, C), features (N, D), groups (N,) of related images."""

    logits: Tensor
    features: Tensor
    groups: np.ndarray

    def take(self, picked: np.ndarray) -> Outputs:
        """The images at these positions."""
        places = torch.from_numpy(picked).to(self.features.device)
        return Outputs(self.logits[places], self.features[places], self.groups[picked])


def joined(parts: Sequence[Outputs]) -> Outputs:
    """Outputs one after the other."""
    logits, features = (torch.cat([getattr(part, name) for part in parts]) for name in ("logits", "features"))
    return Outputs(logits, features, np.concatenate([part.groups for part in parts]))


@dataclass(frozen=True)
class LabelFree:
    """Scores by name: `validators` (higher is better), `discrepancy` (lower is closer), and `diversity`."""

    validators: dict[str, float]
    discrepancy: dict[str, float]
    diversity: float | None


NOTHING = LabelFree({}, {}, None)


def label_free(
    target: Outputs,
    source: Outputs | None,
    labels: Tensor | None,
    apart: Outputs,
    seed: int,
    measure: Callable[[Outputs, Outputs, int], Discrepancy] | None = None,
) -> LabelFree:
    """Everything that can be said of a model without target labels; what is not finite is left out.

    Args:
        target: of unlabelled target images.
        source: of held-out source images; None without a source.
        labels: (Ns,) of those; None where the model scores other classes.
        apart: of target images that nothing was trained on, for the domains' distance: a method draws those
            that it adapts to nearer than others.
        seed: of the domain classifier's folds.
        measure: what measures the distance of the domains; default: `discrepancy`.
    """
    if len(target.features) < FEWEST:
        return NOTHING
    seen = [images for images in (target, source, apart) if images]
    if not all(x.isfinite().all() for images in seen for x in (images.logits, images.features)):
        return NOTHING
    p = target.logits.double().softmax(1)
    scores = {
        "entropy": -entropy(p),
        "infomax": information_maximisation(p),
        "snd": soft_neighbourhood_density(p),
        "bnm": nuclear_norm(p),
        "rankme": rank_me(target.features),
    }
    measure = measure or discrepancy
    distances = measure(source, apart, seed).scores if source is not None else {}
    if source is not None and labels is not None and (odds := measure(source, target, seed).odds) is not None:
        losses = cross_entropy(source.logits.double(), labels, reduction="none")
        scores["dev"] = -deep_embedded_validation(losses, density_ratio(*odds))
    return LabelFree(_finite(scores), distances, diversity(p))


@dataclass(frozen=True)
class Discrepancy:
    """Distances by name, and the held-out log-odds of "source" of both domains' images."""

    scores: dict[str, float]
    odds: tuple[Tensor, Tensor] | None


def discrepancy(source: Outputs, target: Outputs, seed: int) -> Discrepancy:
    """MMD and proxy A-distance of features, where finite; nothing where a domain has too few images."""
    features = source.features, target.features
    if min(map(len, features)) < FEWEST or not all(x.isfinite().all() for x in features):
        return Discrepancy({}, None)
    scores = {"mmd": mmd(*features)}
    with one_blas_thread():
        odds = domain_scores(*features, source.groups, target.groups, seed)
    if odds is not None:
        scores["proxy-a-distance"] = proxy_a_distance(*odds)
    return Discrepancy(_finite(scores), odds)


class DiscrepancyCache:
    """`discrepancy`, measured once of the same features: a frozen network's never change.

    The last two answers are kept: an evaluation asks about two sets of target images.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[Outputs, Outputs, int, Discrepancy]] = deque(maxlen=2)

    def __call__(self, source: Outputs, target: Outputs, seed: int) -> Discrepancy:
        """Measure, or return the last answer for the same features."""
        for one, other, at, found in self._last:
            if at == seed and _same(one, source) and _same(other, target):
                return found
        found = discrepancy(source, target, seed)
        self._last.append((source, target, seed, found))
        return found


def _same(a: Outputs, b: Outputs) -> bool:
    return torch.equal(a.features, b.features) and np.array_equal(a.groups, b.groups)


def _finite(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if math.isfinite(score)}


def entropy(p: Tensor) -> float:
    """Mean entropy in nats of (N, C) probabilities. Morerio et al. 2018, https://arxiv.org/abs/1711.10288."""
    return float(torch.special.entr(p).sum(1).mean())


def information_maximisation(p: Tensor) -> float:
    """Entropy of the mean prediction less mean entropy, in nats: (N, C) -> [0, log C].

    The mutual information of images and predicted classes: Bridle et al. 1991, "Unsupervised Classifiers,
    Mutual Information and 'Phantom Targets'"; for adaptation Shi & Sha 2012, https://arxiv.org/abs/1206.6438.
    """
    return float(torch.special.entr(p.mean(0)).sum()) - entropy(p)


def soft_neighbourhood_density(p: Tensor, temperature: float = 0.05) -> float:
    """Mean entropy of each image's similarity to the others, in nats: (N, C) -> [0, log(N - 1)].

    Saito et al. 2021, "Tune it the Right Way", https://arxiv.org/abs/2108.10860, section 3: cosine
    similarity of the predictions, softmax over the other images at this temperature.
    """
    unit = torch.nn.functional.normalize(p, dim=1)
    similarity = unit @ unit.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    return entropy(similarity.softmax(1))


def nuclear_norm(p: Tensor) -> float:
    """Nuclear norm of the predictions over its largest possible value: (N, C) -> (0, 1].

    Cui et al. 2020, "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization",
    https://arxiv.org/abs/2003.12237, section 3; the bound is sqrt(N min(N, C)).
    """
    return float(torch.linalg.svdvals(p).sum()) / math.sqrt(len(p) * min(p.shape))


def rank_me(features: Tensor) -> float:
    """Effective rank, the exponential of the singular values' entropy: (N, D) -> [1, min(N, D)].

    Garrido et al. 2023, "RankMe", https://arxiv.org/abs/2210.02885, section 3.
    """
    x = features.double()
    # By eigenvalues, several times as fast; what they lose is far below the constant.
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    share = singular / singular.sum().clamp_min(torch.finfo(singular.dtype).tiny) + 1e-7
    return float(torch.exp(-(share * share.log()).sum()))


def density_ratio(source_odds: Tensor, target_odds: Tensor) -> Tensor:
    """Target over source density at the source images: Ns / Nt · P(target) / P(source): -> (Ns,).

    Args:
        source_odds, target_odds: (Ns,), (Nt,) log-odds of "source"; of the latter only the number counts.
    """
    return len(source_odds) / len(target_odds) * torch.exp(-source_odds)


def deep_embedded_validation(losses: Tensor, weights: Tensor) -> float:
    """Estimate of the target's risk from (N,) held-out source losses and density ratios: lower is better.

    You et al. 2019, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
    https://proceedings.mlr.press/v97/you19a.html, algorithm 1: the weighted risk with the weights as control
    variate. The paper fits its domain classifier on source training features; here it is cross-fitted
    on the held-out ones, so that no image weighs itself.
    """
    weighted = weights * losses
    variance = weights.var(correction=1)
    covariance = ((weighted - weighted.mean()) * (weights - weights.mean())).sum() / (len(weights) - 1)
    eta = -covariance / variance if variance > 0 else torch.zeros_like(variance)
    return float(weighted.mean() + eta * weights.mean() - eta)


def diversity(p: Tensor) -> float:
    """Diversity of the predicted classes, from 0 (one) to 1 (all alike): (N, C) -> [0, 1].

    (exp(H) - 1) / (min(N, C) - 1), H the entropy of the predicted classes' shares. What the guard of the
    rules in `bench.records.selection` goes by.
    """
    most = min(p.shape)
    shares = torch.bincount(p.argmax(1), minlength=p.shape[1]).double() / len(p)
    return (math.exp(float(torch.special.entr(shares).sum())) - 1) / (most - 1) if most > 1 else 1.0
