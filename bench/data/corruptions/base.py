"""Type of corruptions, and lengths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Corrupt = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Corruption of an image, float (S, S, 3) in [0, 1], at a severity from 1 to 5; values may leave [0, 1]."""

SIDE = 64
"""Side of the images, in pixels, that published strengths are for."""


def unit(image: np.ndarray) -> float:
    """Length in pixels of this image that is one pixel of 64."""
    return len(image) / SIDE


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image (S, S, C) by a Gaussian of `sigma` pixels."""
    out: np.ndarray = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return out


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve each channel of an image (S, S, C) with a kernel of sum 1."""
    out: np.ndarray = ndimage.convolve(image, kernel[..., None], mode="nearest")
    return out


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge the middle of an image (S, S, C) by a factor of at least 1, to the same size."""
    middle = (len(image) - 1) / 2
    matrix = np.array([1 / factor, 1 / factor, 1.0])
    offset = np.array([middle * (1 - 1 / factor)] * 2 + [0.0])
    out: np.ndarray = ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")
    return out


def motion(image: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """Blur an image (S, S, C) along a line: a Gaussian of `sigma` pixels from each pixel to one side."""
    reach = int(np.ceil(radius))
    steps = np.arange(0, reach + 1)
    angle = np.deg2rad(degrees)
    rows, columns = reach + steps * np.sin(angle), reach + steps * np.cos(angle)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    # Each point of the line is shared out among the four pixels around it.
    for down in (0, 1):
        for right in (0, 1):
            row, column = np.floor(rows).astype(int) + down, np.floor(columns).astype(int) + right
            share = (1 - np.abs(rows - row)) * (1 - np.abs(columns - column)) * weights
            inside = (row <= 2 * reach) & (column <= 2 * reach)
            np.add.at(kernel, (row[inside], column[inside]), share[inside])
    return filtered(image, kernel / kernel.sum())
