"""Weather: snow, frost, fog and sunlight."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bench.data.corruptions.base import motion, unit, zoomed

GREY = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""


def snow(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Whiten the image and let blurred flakes fall over it."""
    mean, deviation, zoom, least, radius, sigma, kept = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    )[severity - 1]
    flakes = zoomed(random.normal(mean, deviation, size=(*x.shape[:2], 1)), zoom)
    flakes = np.where(flakes < least, 0.0, flakes.clip(0, 1))
    flakes = motion(flakes, radius * unit(x), sigma * unit(x), random.uniform(-135, -45))
    white = np.maximum(x, 1.5 * (x @ GREY)[..., None] + 0.5)
    return kept * x + (1 - kept) * white + flakes + flakes[::-1, ::-1]


def frost(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Lay ice crystals over the image.

    The paper takes photographs of frosted glass, which are not ours to give away: here crystals are ridges of
    plasma, bluish white on half transparent ice.
    """
    image, ice = ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55))[severity - 1]
    ridges = 1 - np.abs(2 * plasma(len(x), 1.4, random) - 1)
    crystals = 0.35 + 0.65 * ridges**3
    return image * x + ice * crystals[..., None] * np.array([0.85, 0.95, 1.0])


def fog(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add plasma, and darken to the brightness of before."""
    strength, decay = ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75))[severity - 1]
    brightest = x.max()
    return (x + strength * plasma(len(x), decay, random)[..., None]) * brightest / (brightest + strength)


def brightness(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Raise the value of HSV; hue and saturation stay."""
    value = x.max(axis=-1, keepdims=True)
    raised = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 1.0)
    return np.where(value > 0, x * raised / np.where(value > 0, value, 1.0), raised)


def plasma(side: int, decay: float, random: np.random.Generator) -> np.ndarray:
    """Draw clouds (S, S) in [0, 1]: octaves of noise, each weaker than the one before by `decay` squared.

    The paper's is made by the diamond-square algorithm, whose displacements fall alike.
    """
    total = np.zeros((side, side))
    octaves = max(1, int(np.ceil(np.log2(side))))
    for octave in range(octaves + 1):
        grid = random.uniform(-1, 1, size=(2**octave + 1,) * 2)
        at = np.linspace(0, 2**octave, side)
        places = np.meshgrid(at, at, indexing="ij")
        total += decay ** (-2 * octave) * ndimage.map_coordinates(grid, places, order=1)
    total -= total.min()
    return total / max(total.max(), 1e-12)
