"""Families of networks in repositories of the hub: wav2vec 2.0 for recordings, ESM for sequences."""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
from torch import Tensor, nn

from bench.core.errors import CellSkipped
from bench.core.waveforms import PER_MILLISECOND
from bench.networks.backbones.base import Backbone
from bench.networks.hub import esm, states, wav2vec2
from bench.networks.hub.files import (
    MOST_WEIGHTS,
    UNTRAINED,
    WEIGHTS,
    architecture,
    check_name,
    form_of,
    path_of,
)
from bench.networks.hub.layers import stage_names


class HubFamily:
    """What networks of the hub have in common."""

    letters, marks = 0, 0
    """Numbers that places of a sequence hold, and places before the first letter."""

    def form(self, name: str) -> esm.EsmForm | wav2vec2.WaveForm:
        """Form of a network; a `UserError` where it cannot be had, or is of another kind."""
        raise NotImplementedError

    def random(self, name: str) -> nn.Module:
        """Network at random initialisation."""
        raise NotImplementedError

    def pretrained(self, name: str) -> nn.Module:
        """Network with its weights."""
        raise NotImplementedError

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take items of a size; empty where it does."""
        raise NotImplementedError

    def example(self, name: str, size: int, count: int = 1) -> Tensor:
        """Items (count, ...) of a size that a network takes, to try it on."""
        raise NotImplementedError

    def check(self, name: str) -> None:
        """Check the form of a name; whether there is such a repository is not asked."""
        check_name(name)

    def create(self, name: str, size: int | None) -> Backbone:
        """Create a network with its weights; random ones are drawn from torch's global generator.

        Raises:
            UserError: weights that are out of reach, or are another network's.
        """
        form = self.form(name)
        trained = not name.endswith(f".{UNTRAINED}")
        net = copy.deepcopy(_trained(self, name)) if trained else self.random(name)
        names = stage_names(form.num_hidden_layers)
        widths = dict.fromkeys(names, form.hidden_size)
        backbone = Backbone(net, form.hidden_size, names, widths, padded=True, letters=self.letters)
        backbone.marks = self.marks
        return backbone

    def head(self, name: str) -> nn.Module:
        """Raise `CellSkipped`: encoders come without a classifier."""
        raise CellSkipped(f"'{name}' comes without a classifier that it was pretrained with")

    def made_for(self, name: str) -> int | None:
        """None: items may be of any length."""
        return None


class Sequences(HubFamily):
    """Networks of type `esm`."""

    letters, marks = esm.LETTERS, 1

    def form(self, name: str) -> esm.EsmForm:
        """Form of a network."""
        return form_of(name, esm.EsmForm)

    def random(self, name: str) -> nn.Module:
        """Network at random initialisation, with the vocabulary of its repository."""
        form = self.form(name)
        return esm.esm(form, esm.numbers_of_letters(architecture(name), form.vocab_size))

    def pretrained(self, name: str) -> nn.Module:
        """Network with its weights."""
        net = self.random(name)
        state = states.read(name, path_of(name, WEIGHTS, MOST_WEIGHTS), "esm")
        states.fill(net, state, esm.their_name, name)
        esm.set_frequencies(net, state)
        return net

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take sequences of a length."""
        most = self.form(name).most
        return f"it has positions for {most} letters" if most is not None and size > most else ""

    def example(self, name: str, size: int, count: int = 1) -> Tensor:
        """Sequences of one letter (count, size)."""
        return torch.ones(count, size, dtype=torch.long)


class Recordings(HubFamily):
    """Networks of type `wav2vec2`."""

    def form(self, name: str) -> wav2vec2.WaveForm:
        """Form of a network."""
        return form_of(name, wav2vec2.WaveForm)

    def random(self, name: str) -> nn.Module:
        """Network at random initialisation."""
        return wav2vec2.wav2vec2(self.form(name), wav2vec2.is_normalised(architecture(name)))

    def pretrained(self, name: str) -> nn.Module:
        """Network with its weights."""
        net = self.random(name)
        state = states.read(name, path_of(name, WEIGHTS, MOST_WEIGHTS), "wav2vec2")
        states.fill(net, wav2vec2.multiplied(state), wav2vec2.their_name, name)
        return net

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take recordings of a length."""
        shortest = self.form(name).shortest
        return f"the shortest are of {shortest} ms" if size < shortest else ""

    def example(self, name: str, size: int, count: int = 1) -> Tensor:
        """Silence (count, 16 * size)."""
        return torch.zeros(count, PER_MILLISECOND * size)


@lru_cache(maxsize=2)
def _trained(family: HubFamily, name: str) -> nn.Module:
    """Network with its weights, made once for many cells."""
    with torch.random.fork_rng(devices=[]):
        return family.pretrained(name)
