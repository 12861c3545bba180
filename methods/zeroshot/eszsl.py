"""ESZSL: a bilinear map between features and names of classes, in closed form.

Romera-Paredes & Torr 2015, "An embarrassingly simple approach to zero-shot learning", ICML.
https://proceedings.mlr.press/v37/romera-paredes15.html

V = (X Xᵀ + γ I)⁻¹ X Y Sᵀ (S Sᵀ + λ I)⁻¹ of features X, labels Y in {-1, 1} and signatures S of the classes
(equation 7), which here are the vectors that an encoder of texts makes of their names. As in section 4, γ
and λ are those that serve held-out classes best, here of a grid relative to the mean of each diagonal.
Features are centred: of many classes most labels are -1, and the map would be spent on that constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import ClosedFormMethod, Details, Model, NamedMethod, NamesHead, StageItems, Task, tunable

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)


class Eszsl(NamedMethod, ClosedFormMethod):
    """A bilinear map from frozen features to the vectors of names."""

    reference = "hand-computed case"
    bounds = {"folds": ">= 2"}

    features: float = tunable(0.0, 1e-2, 1e2)
    """γ relative to the features' mean square; 0 chooses both by classes that are held out."""
    names: float = tunable(0.0, 1e-2, 1e2)
    """λ relative to the signatures' mean square."""
    folds: int = 5

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the map, in place."""
        head, y = cast(NamesHead, model.head), items.labelled.y
        x, names = items.labelled.features(model).double(), head.names.double()
        chosen, count = (self.features, self.names), len(names)
        if not all(chosen):
            pairs = list(product(GRID, GRID))
            order = torch.randperm(count, generator=torch.Generator().manual_seed(task.seed)).to(y.device)
            # Of two classes at least, and so that two are left to learn from.
            folds = order.tensor_split(min(self.folds, count // 2)) if count > 3 else ()
            right = torch.tensor([held_out(x, y, names, fold, pairs) for fold in folds])
            chosen = pairs[int(right.sum(0).argmax())] if folds else (1.0, 1.0)
        (found,) = bilinear(x - x.mean(0), y, names, [chosen])
        with torch.no_grad():
            cast(nn.Linear, head.project).weight.copy_(found.T)
            cast(nn.Linear, head.project).bias.copy_(-x.mean(0) @ found)
        return {"features": chosen[0], "names": chosen[1]}


Strengths = Iterable[tuple[float, float]]
"""Pairs of γ and λ."""


def held_out(x: Tensor, y: Tensor, names: Tensor, out: Tensor, strengths: Strengths) -> list[int]:
    """Items of some classes that maps of the others put into the right one of them, by strengths."""
    held, kept = torch.isin(y, out), torch.ones(len(names), dtype=torch.bool, device=y.device)
    kept[out] = False
    places, mean = kept.cumsum(0)[y[~held]] - 1, x[~held].mean(0)
    maps = bilinear(x[~held] - mean, places, names[kept], strengths)
    best = (((x[held] - mean) @ each @ names[out].T).argmax(1) for each in maps)
    return [int((out[place] == y[held]).sum()) for place in best]


def bilinear(x: Tensor, y: Tensor, names: Tensor, strengths: Strengths) -> Iterator[Tensor]:
    """Maps V (D, E) from features (N, D) with labels (N,) to the names of classes (C, E), by strengths."""
    signs = 2.0 * nn.functional.one_hot(y, len(names)).to(x) - 1
    left, sizes, right = torch.linalg.svd(x, full_matrices=False)
    values, vectors = torch.linalg.eigh(names.T @ names)
    inner = left.T @ signs @ names @ vectors
    for gamma, weight in strengths:
        shrunk = sizes / (sizes.square() + gamma * sizes.square().sum() / x.shape[1])
        yield right.T @ (shrunk[:, None] * inner / (values.clamp_min(0) + weight * values.mean())) @ vectors.T
