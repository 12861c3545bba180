"""Trial of a network on images of a size, before cells run: what it cannot do is told once."""

from __future__ import annotations

import torch

from bench.core.errors import UserError
from bench.networks.backbones import Backbone


def check_images(name: str, backbone: Backbone, image_size: int) -> None:
    """Check that a network takes images of this size.

    Raises:
        UserError: it does not; networks say so in their own ways.
    """
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros(1, 3, image_size, image_size))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"backbone '{name}' cannot take images of {image_size} px ({reason}): choose another --image-size"
        ) from None


def normalises_single_values(backbone: Backbone, image_size: int) -> bool:
    """Return True if batch norm would have a single value to normalise where a batch is one image."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            backbone.train()(torch.zeros(1, 3, image_size, image_size))
    except ValueError:
        return True
    return False
