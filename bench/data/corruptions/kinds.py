"""Common corruptions of images: noise, blur, weather and digital ones, of five severities.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
https://arxiv.org/abs/1903.12261. Strengths are those that its authors published for images of 64 pixels
(Tiny ImageNet-C); lengths grow with the image. Departures are said where they are. What is drawn depends on
the image's content, the kind and the severity alone.
"""

from __future__ import annotations

import hashlib

import numpy as np

from bench.data.corruptions import blur, digital, noise, weather
from bench.data.corruptions.base import Corrupt

CORRUPTIONS: tuple[Corrupt, ...] = (
    noise.gaussian_noise,
    noise.shot_noise,
    noise.impulse_noise,
    blur.defocus_blur,
    blur.glass_blur,
    blur.motion_blur,
    blur.zoom_blur,
    weather.snow,
    weather.frost,
    weather.fog,
    weather.brightness,
    digital.contrast,
    digital.elastic_transform,
    digital.pixelate,
    digital.jpeg_compression,
)
"""The paper's fifteen, in its order."""

BY_NAME = {corruption.__name__.replace("_", "-"): corruption for corruption in CORRUPTIONS}


def corrupt(pixels: np.ndarray, digest: str, kind: str, severity: int) -> np.ndarray:
    """Corrupt an image, uint8 (S, S, 3), of this content; returns the same shape and type."""
    seed = hashlib.sha256(f"{digest} {kind} {severity}".encode()).digest()
    random = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))
    out = BY_NAME[kind](pixels / 255.0, severity, random)
    return np.round(255 * out.clip(0, 1)).astype(np.uint8)
