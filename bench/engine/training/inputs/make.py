"""Inputs of a domain, by the modality of its items."""

from __future__ import annotations

from collections.abc import Callable

from bench.engine.training.inputs.base import Inputs, InputsRequest
from bench.engine.training.inputs.image import image_inputs
from bench.engine.training.inputs.sequence import sequence_inputs
from bench.engine.training.inputs.table import table_inputs
from bench.engine.training.inputs.text import text_inputs

INPUTS: dict[str, Callable[[InputsRequest], Inputs]] = {
    "image": image_inputs,
    "text": text_inputs,
    "table": table_inputs,
    "sequence": sequence_inputs,
}
"""Makers of inputs by modality."""

FITTED = {"table"}
"""Modalities whose inputs are fitted to their reference."""
