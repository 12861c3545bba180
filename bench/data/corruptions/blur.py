"""Blur: out of focus, through frosted glass, of a moving and of a zooming camera."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bench.data.corruptions.base import filtered, motion, smooth, unit, zoomed


def defocus_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Blur by a disk."""
    radius, edge = ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1))[severity - 1]
    radius *= unit(x)
    reach = int(np.ceil(radius)) + 2
    away = np.arange(-reach, reach + 1)
    disk = (away[:, None] ** 2 + away**2 <= radius**2).astype(float)
    kernel = ndimage.gaussian_filter(disk, edge)
    return filtered(x, kernel / kernel.sum())


def glass_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Exchange pixels with near ones, between two Gaussian blurs."""
    sigma, delta, rounds = ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2))[severity - 1]
    sigma, delta = sigma * unit(x), max(1, round(delta * unit(x)))
    side = len(x)
    places = np.arange(side * side).tolist()
    for _ in range(rounds):
        steps = random.integers(-delta, delta, size=(side, side, 2)).tolist()
        for row in range(side - delta, delta, -1):
            for column in range(side - delta, delta, -1):
                down, right = steps[row - 1][column - 1]
                here, there = row * side + column, (row + down) * side + column + right
                places[here], places[there] = places[there], places[here]
    shuffled = smooth(x, sigma).reshape(-1, 3)[places].reshape(x.shape)
    return smooth(shuffled, sigma)


def motion_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Blur along a line of random direction."""
    radius, sigma = ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3))[severity - 1]
    return motion(x, radius * unit(x), sigma * unit(x), random.uniform(-45, 45))


def zoom_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Average images of rising magnification."""
    largest = (1.05, 1.10, 1.15, 1.20, 1.25)[severity - 1]
    factors = np.arange(1, largest + 0.005, 0.01)
    return (x + sum(zoomed(x, factor) for factor in factors)) / (1 + len(factors))
