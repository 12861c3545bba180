"""UniRep: multiplicative LSTMs over proteins, (B, L) letters -> mean of the last layer's states (B, D).

Alley et al. 2019, https://doi.org/10.1038/s41592-019-0598-1; the layer is that of Krause et al. 2016,
https://arxiv.org/abs/1609.07959, with the norms of weights apart (Salimans and Kingma 2016,
https://arxiv.org/abs/1602.07868), which are multiplied in as weights are read. A place is padding where its
vector is zero, and lies behind the letters.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.networks.hub.esm import LETTERS
from bench.networks.hub.layers import MeanPool, stage_names, there

START = LETTERS
"""Number of the mark before the first letter."""
ORDER = "-MRHKDESTNQCUGPAVIFYWLOX"
"""Letters in the order of the published embedding; of what it lacks, `X` stands for all."""
THEIR_START = len(ORDER)
EMBEDDED = 10
"""Width of a letter's vector."""
MOST_BYTES = 2**28
NORMED = {"wmx": "place_factor", "wmh": "state_factor", "wx": "place", "wh": "state"}
"""Matrices whose columns' norms are apart, by their published names."""


class Letters(nn.Module):
    """Vectors of a mark and of the letters behind it: (B, L) -> (B, 1 + L, 10), zero for padding."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(LETTERS + 1, EMBEDDED)

    def forward(self, x: Tensor) -> Tensor:
        """Embedded letters."""
        marked = torch.cat([torch.full_like(x[:, :1], START), x], 1)
        out: Tensor = self.vectors(marked) * (marked != 0)[..., None]
        return out


class MultiplicativeLstm(nn.Module):
    """Layer whose recurrent input is a product of the place's and the state's: (B, L, C) -> (B, L, D)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.place_factor = nn.Linear(channels, width, bias=False)
        self.state_factor = nn.Linear(width, width, bias=False)
        self.place = nn.Linear(channels, 4 * width)
        self.state = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """States, zero where there is padding."""
        factors, gates = self.place_factor(x), self.place(x)
        hidden = memory = x.new_zeros(len(x), self.state_factor.out_features)
        out = []
        for factor, gate in zip(factors.unbind(1), gates.unbind(1), strict=True):
            added, kept, shown, new = (gate + self.state(factor * self.state_factor(hidden))).chunk(4, -1)
            memory = kept.sigmoid() * memory + added.sigmoid() * new.tanh()
            hidden = shown.sigmoid() * memory.tanh()
            out.append(hidden)
        return torch.stack(out, 1) * there(x)


def unirep(width: int, depth: int) -> nn.Sequential:
    """Make a network of `depth` layers, called as `stage_names` says."""
    net = nn.Sequential()
    net.add_module("embed", Letters())
    for number, name in enumerate(stage_names(depth)):
        net.add_module(name, MultiplicativeLstm(width if number else EMBEDDED, width))
    net.add_module("pool", MeanPool())
    return net


def load(net: nn.Sequential, content: bytes) -> None:
    """Put published weights into a network: arrays of an `.npz`, of which none is a pickle.

    Raises:
        UserError: they are of another form.
    """
    state = net.state_dict()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        ours = np.array([ORDER.find(letter) for letter in "-ABCDEFGHIJKLMNOPQRSTUVWXYZ"] + [-1, THEIR_START])
        ours[ours < 0] = ORDER.index("X")
        found = {"embed.vectors.weight": arrays["embedding"][ours]}
        for number, layer in enumerate(stage_names(len(net) - 2)):
            for name, own in NORMED.items():
                matrix, norms = (arrays[f"mlstm.{number}.{each}"] for each in (name, f"g{name[1:]}"))
                length = np.sqrt(np.maximum((matrix**2).sum(0), 1e-12))
                found[f"{layer}.{own}.weight"] = (matrix / length * norms).T
            found[f"{layer}.place.bias"] = arrays[f"mlstm.{number}.b"]
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise UserError(f"these are no weights of UniRep: {str(error) or type(error).__name__}") from None
    for name, tensor in tensors.items():
        if tensor.shape != state[name].shape:
            raise UserError(f"these are no weights of UniRep: {name} is of {tuple(tensor.shape)}")
    net.load_state_dict(tensors)
