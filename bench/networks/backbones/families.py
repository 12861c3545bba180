"""Families of networks by the names of their members. No torch here."""

from __future__ import annotations

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.networks.backbones import encoders
from bench.networks.backbones.weights import UNIREP
from bench.networks.hub.files import HUB_ENCODER, OutOfReach, architecture, model_type, of_hub

USUAL = "image"
"""Family of all other names: those of timm."""

UNTRAINED_ONLY = {
    "mlp": "table",
    "ft_transformer": "table",
    "peptide_cnn": "sequence",
    "audio_cnn": "audio",
}
"""Modality of each network of our own that has no pretrained weights."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "text": encoders.NAMES,
    **{
        modality: (*(name for name, own in UNTRAINED_ONLY.items() if own == modality), *more)
        for modality, more in (("table", ()), ("sequence", UNIREP))
    },
    "audio": ("spectrogram:", "audio_cnn", "speech_embedding"),
}
"""Names of the networks of other families by modality; one that ends in a colon begins all such names."""


TYPES = {**dict.fromkeys(encoders.MODEL_TYPES, "text"), "wav2vec2": "audio", "esm": "sequence"}
"""Modality of networks in repositories of the hub, by the `model_type` of their `config.json`."""


def family_of(name: str) -> str:
    """Family of a network: the modality that it was made for, by its name, or as its repository says.

    Raises:
        UserError: a repository is out of reach, or holds a network of a kind that is not read.
    """
    if of_hub(name):
        kind = model_type(name)
        if kind not in TYPES:
            read = ", ".join(f"{known} ({MODALITIES[modality].items})" for known, modality in TYPES.items())
            raise UserError(
                f"'{architecture(name)}' is of type '{kind}': encoders that are read are of {read}"
            )
        return TYPES[kind]
    network = name.partition("@")[0].partition(".")[0]
    for modality, members in MEMBERS.items():
        beginnings = tuple(member for member in members if member.endswith(":"))
        if network in members or name.startswith(beginnings):
            return modality
    return USUAL


def check_family(name: str, modality: str) -> None:
    """Check that a network takes items of a modality; what is out of reach is not told of here.

    Raises:
        UserError: it was made for others.
    """
    try:
        own = family_of(name)
    except OutOfReach:
        # What is recorded needs no network; where this one is created, there is the reason.
        return
    if own != modality:
        hub = [f"{HUB_ENCODER}OWNER/NAME"] if modality in TYPES.values() else []
        known = (
            "any timm network" if modality == USUAL else ", ".join([*MEMBERS[modality], *hub]) or "none yet"
        )
        raise UserError(
            f"backbone '{name}' takes {MODALITIES[own].items}, and these are "
            f"{MODALITIES[modality].items}: use another ({known})"
        )
