"""Networks by name, of whatever family."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.networks.backbones import audio, image, sequence, table, text
from bench.networks.backbones.base import Backbone, Family
from bench.networks.backbones.families import family_of
from bench.networks.backbones.repositories import Recordings, Sequences
from bench.networks.hub.files import check_name, of_hub

FAMILIES = {
    "image": cast(Family, image),
    "text": cast(Family, text),
    "table": table.FAMILY,
    "sequence": sequence.FAMILY,
    "audio": cast(Family, audio),
}
"""Families of networks by the modality that they were made for."""

OF_HUB = {"text": cast(Family, text), "sequence": Sequences(), "audio": Recordings()}
"""The same of networks in repositories in the form of the library transformers."""


def check_backbone(name: str) -> None:
    """Check that there is a network of that name (its tag may be `untrained`); a `UserError` if not.

    One's own weights have to be in the cache; what is on the hub is not asked for.
    """
    if of_hub(name):
        check_name(name)
    else:
        _family(name).check(name)


def create_backbone(name: str, size: int | None = None) -> Backbone:
    """Create a network with its weights; random ones are drawn from torch's global generator.

    A network that is built for one size of items, such as a vision transformer, is built for `size` where it
    can be.

    Raises:
        UserError: unknown name, or weights that are out of reach.
    """
    backbone = _family(name).create(name, size)
    backbone.name = name
    return backbone


def pretrained_head(backbone: Backbone) -> nn.Module:
    """Classifier that a backbone was pretrained with: pooled features (B, D) -> logits of those classes.

    Raises:
        CellSkipped: its weights come without one.
    """
    return _family(backbone.name).head(backbone.name)


def example(name: str, size: int) -> Tensor:
    """An item (1, ...) of a size that a network takes, to try it on."""
    return _family(name).example(name, size)


def check_image_size(name: str, size: int) -> None:
    """Check that a network takes items of this size.

    Raises:
        UserError: it does not, or it cannot be built.
    """
    family = _family(name)
    if reason := family.fault(name, size, 1, training=False):
        kind, usual = MODALITIES[family_of(name)], family.made_for(name)
        own = f"; it was made for {usual} {kind.unit}" if usual else ""
        raise UserError(f"backbone '{name}' cannot take {kind.items} of {size} {kind.unit} ({reason}){own}")


def check_batch_size(name: str, size: int, batch_size: int) -> None:
    """Check that a network can be trained on batches of this size: a single item may have no statistics.

    Raises:
        UserError: it cannot, since batch norm would have one value per channel.
    """
    if batch_size > 1:
        return
    if reason := _family(name).fault(name, size, batch_size, training=True):
        kind = MODALITIES[family_of(name)]
        raise UserError(
            f"backbone '{name}' cannot be trained on batches of one {kind.item} of {size} {kind.unit} "
            f"({reason}): use batch_size = 2 or more"
        )


def _family(name: str) -> Family:
    return (OF_HUB if of_hub(name) else FAMILIES)[family_of(name)]
