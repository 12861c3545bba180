"""Networks for texts: encoders with the mean of their tokens' vectors as features."""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
from torch import Tensor, nn

from bench.core.errors import CellSkipped
from bench.networks.backbones import encoders
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.encoders import form
from bench.networks.hub import states
from bench.networks.hub.bert import bert, their_name
from bench.networks.hub.files import MOST_WEIGHTS, UNTRAINED, WEIGHTS, of_hub, path_of
from bench.networks.hub.layers import stage_names


def check(name: str) -> None:
    """Check that there is such an encoder; a `UserError` with a suggestion if not."""
    encoders.check(name)


def create(name: str, size: int | None = None) -> Backbone:
    """Create an encoder with its weights; random ones are drawn from torch's global generator.

    Raises:
        UserError: unknown name, weights that are out of reach, or that are another network's.
    """
    check(name)
    if name.endswith(f".{UNTRAINED}"):
        net: nn.Module = bert(form(name))
    else:
        net = copy.deepcopy(_pretrained(name))
    width = form(name).hidden_size
    names = stage_names(form(name).num_hidden_layers)
    return Backbone(net, width, names, dict.fromkeys(names, width), padded=True)


def head(name: str) -> nn.Module:
    """None: encoders come without a classifier.

    Raises:
        CellSkipped: always.
    """
    raise CellSkipped(f"'{name}' comes without a classifier that it was pretrained with")


def example(name: str, size: int, count: int = 1) -> Tensor:
    """Texts of one token that is repeated (count, size)."""
    return torch.ones(count, size, dtype=torch.long)


def fault(name: str, size: int, count: int, training: bool) -> str:
    """Reason why an encoder does not take texts of a length; empty where it does."""
    most = form(name).max_position_embeddings - form(name).first_position
    return f"it has positions for {most} tokens" if size > most else ""


def made_for(name: str) -> int | None:
    """None: an encoder takes texts of any length up to its last position."""
    return None


@lru_cache(maxsize=2)
def _pretrained(name: str) -> nn.Module:
    """Encoder with its weights, made once for many cells."""
    with torch.random.fork_rng(devices=[]):
        net = bert(form(name))
    found = path_of if of_hub(name) else encoders.content
    file = found(name, WEIGHTS, MOST_WEIGHTS)
    states.fill(net, states.read(name, file, form(name).model_type.replace("xlm-", "")), their_name, name)
    return net
