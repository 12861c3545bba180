"""Families of networks by the names of their members. No torch here."""

from __future__ import annotations

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.networks.backbones import encoders

USUAL = "image"
"""Family of all other names: those of timm."""

UNTRAINED_ONLY = {"mlp": "table", "ft_transformer": "table", "peptide_cnn": "sequence"}
"""Modality of each network of our own that has no pretrained weights."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "text": encoders.NAMES,
    **{
        modality: tuple(name for name, own in UNTRAINED_ONLY.items() if own == modality)
        for modality in ("table", "sequence")
    },
}
"""Names of the networks of other families by modality; one that ends in a colon begins all such names."""


def family_of(name: str) -> str:
    """Family of a network: the modality that it was made for, by its name."""
    architecture = name.partition("@")[0].partition(".")[0]
    for modality, members in MEMBERS.items():
        beginnings = tuple(member for member in members if member.endswith(":"))
        if architecture in members or name.startswith(beginnings):
            return modality
    return USUAL


def check_family(name: str, modality: str) -> None:
    """Check that a network takes items of a modality.

    Raises:
        UserError: it was made for others.
    """
    own = family_of(name)
    if own != modality:
        known = (
            "any timm network" if modality == USUAL else ", ".join(MEMBERS.get(modality, ())) or "none yet"
        )
        raise UserError(
            f"backbone '{name}' takes {MODALITIES[own].items}, and these are "
            f"{MODALITIES[modality].items}: use another ({known})"
        )
