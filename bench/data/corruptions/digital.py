"""Digital corruptions: contrast, elastic deformation, pixelation and JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage


def contrast(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Lower the contrast."""
    mean = x.mean(axis=(0, 1))
    return mean + (x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]


def elastic_transform(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Stretch small regions, after a random affine map."""
    strength, sigma, affine = (
        (0, 0, 0.08),
        (0.05, 0.3, 0.06),
        (0.1, 0.08, 0.06),
        (0.1, 0.03, 0.03),
        (0.16, 0.03, 0.02),
    )[severity - 1]
    side = len(x)
    # Three corners of a square in the middle, and where they go.
    corners = side // 2 + (side // 3) * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = corners + random.uniform(-affine * side, affine * side, size=corners.shape)
    back = np.linalg.solve(np.c_[moved, np.ones(3)], corners)
    there = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
    shifts = [
        side
        * strength
        * ndimage.gaussian_filter(random.uniform(-1, 1, (side, side)), side * sigma, truncate=3)
        for _ in range(2)
    ]
    # The image is deformed after it was mapped: the map is looked up where the deformation points to.
    places = np.concatenate([there + np.stack(shifts, axis=-1), np.ones((side, side, 1))], axis=-1) @ back
    rows, columns = places[..., 0], places[..., 1]
    channels = [ndimage.map_coordinates(x[..., c], (rows, columns), order=1, mode="mirror") for c in range(3)]
    return np.stack(channels, axis=-1)


def pixelate(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Make the image smaller, and as large as before again, without smoothing."""
    side = len(x)
    small = max(1, int(side * (0.9, 0.8, 0.7, 0.6, 0.5)[severity - 1]))
    image = _picture(x).resize((small, small), Image.Resampling.BOX)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX)) / 255.0


def jpeg_compression(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Compress the image as a JPEG of low quality."""
    buffer = io.BytesIO()
    _picture(x).save(buffer, "JPEG", quality=(65, 58, 50, 40, 25)[severity - 1])
    with Image.open(buffer, formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB")) / 255.0


def _picture(x: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(255 * x.clip(0, 1)).astype(np.uint8))
