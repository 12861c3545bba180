"""Noise: of electronics, of photons, and of broken pixels."""

from __future__ import annotations

import numpy as np


def gaussian_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, as in low light."""
    return x + random.normal(scale=(0.04, 0.08, 0.12, 0.15, 0.18)[severity - 1], size=x.shape)


def shot_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Count photons: Poisson noise."""
    photons = (250, 100, 50, 30, 15)[severity - 1]
    return random.poisson(x * photons) / photons


def impulse_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Set a share of all values to 0 or 1, half each."""
    share = (0.01, 0.02, 0.05, 0.08, 0.14)[severity - 1]
    drawn = random.uniform(size=x.shape)
    return np.where(drawn < share / 2, 0.0, np.where(drawn < share, 1.0, x))
