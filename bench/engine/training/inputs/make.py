"""Inputs of a domain, by the modality of its items."""

from __future__ import annotations

from collections.abc import Callable

from bench.engine.training.inputs.base import Inputs, InputsRequest
from bench.engine.training.inputs.image import image_inputs
from bench.engine.training.inputs.text import text_inputs

INPUTS: dict[str, Callable[[InputsRequest], Inputs]] = {"image": image_inputs, "text": text_inputs}
"""Makers of inputs by modality."""
