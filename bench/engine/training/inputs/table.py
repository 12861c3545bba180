"""Inputs of tables: columns scaled by what the source's training rows say of them.

Each column becomes normal scores, as in Gorishniy et al. 2021 (https://arxiv.org/abs/2106.11959, section
4.2), then zero mean and unit variance. What is missing is at the mean, and so is a column that is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.engine.training.inputs.base import InputsRequest, onto

QUANTILES = 1000
"""Most quantiles that a column's distribution is described by."""
OUTERMOST = 1e-3
"""Probability of the lowest normal score, and of one above the highest: values beyond are not told apart."""
SWAPPED = 0.3
"""Share of a row's values that come from other rows in a strong view."""


@dataclass(frozen=True)
class Column:
    """Scaling of a column, fitted on some of its values."""

    quantiles: np.ndarray
    """(Q,), empty for a column without values."""
    mean: float = 0.0
    deviation: float = 0.0

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Normal scores (N,) of values (N,); of equal ones in the middle of their ranks."""
        at = np.linspace(0, 1, len(self.quantiles))
        below = np.interp(values, self.quantiles, at)
        above = 1 - np.interp(-values, -self.quantiles[::-1], at)
        ranks = np.clip((below + above) / 2, OUTERMOST, 1 - OUTERMOST)
        return torch.special.ndtri(torch.from_numpy(ranks)).numpy()

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Scaled values (N,), float32; 0 for what is not finite."""
        out = np.zeros(len(values), dtype=np.float32)
        there = np.isfinite(values)
        if self.deviation:
            out[there] = (self.scores(values[there]) - self.mean) / self.deviation
        return out


def fitted(values: np.ndarray) -> Column:
    """Scaling of a column by its values (N,) in some rows."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return Column(known)
    plain = Column(np.quantile(known, np.linspace(0, 1, min(QUANTILES, len(known)))))
    scores = plain.scores(known)
    return Column(plain.quantiles, float(scores.mean()), float(scores.std()) if np.ptp(known) else 0.0)


@dataclass(frozen=True)
class TableInputs:
    """Scaled rows (N, F) of a domain."""

    rows: Tensor
    device: torch.device

    @property
    def numbers(self) -> int:
        """Columns of a row."""
        return self.rows.shape[1]

    @property
    def lengths(self) -> None:
        """None: rows have no padding."""
        return None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Rows (B, F). Strongly augmented ones have some values of other rows of the batch.

        Such corruption is that of Bahri et al. 2022, https://arxiv.org/abs/2106.15147.
        """
        x = self.rows[torch.from_numpy(rows)]
        if strong and augment_seed is not None:
            random = np.random.default_rng(augment_seed)
            others = torch.from_numpy(random.integers(len(x), size=x.shape))
            swapped = torch.from_numpy(random.random(x.shape) < SWAPPED)
            x = torch.where(swapped, x.gather(0, others), x)
        return onto(x, self.device)


def table_inputs(request: InputsRequest) -> TableInputs:
    """Inputs of rows, scaled by the request's reference."""
    decoded, reference = request.decoded, request.reference()
    rows = np.empty_like(decoded)
    for column in range(decoded.shape[1]):
        rows[:, column] = fitted(reference[:, column]).scaled(decoded[:, column])
    return TableInputs(torch.from_numpy(rows), request.device)
