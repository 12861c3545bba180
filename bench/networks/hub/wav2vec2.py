"""wav2vec 2.0 as a sequence of layers in which padding is zero: waveforms (B, T) -> mean of frames (B, D).

Baevski et al. 2020, https://arxiv.org/abs/2006.11477; without dropout, layerdrop and masks of its own. Exact
silence at the ends of a recording is padding: features are those of what is between, alone. As in `bert.py`,
a frame is padding where its vector is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from bench.core.errors import UserError
from bench.core.waveforms import AUDIO_RATE, PER_MILLISECOND
from bench.networks.hub.files import OutOfReach, json_of
from bench.networks.hub.layers import Attention, Block, MeanPool, Norm, network, stage_names, there

PREPARATION = "preprocessor_config.json"
AT_ONCE = 2**24
"""Numbers that a convolution of the front end computes at once where nothing is learnt from them."""

Small = Annotated[int, Field(ge=1, le=2**13)]


class WaveForm(BaseModel):
    """Form of a wav2vec 2.0, as `config.json` says it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hidden_size: int = Field(768, ge=1, le=2**14)
    num_hidden_layers: int = Field(12, ge=1, le=200)
    num_attention_heads: int = Field(12, ge=1, le=1000)
    intermediate_size: int = Field(3072, ge=1, le=2**16)
    layer_norm_eps: float = Field(1e-5, gt=0, lt=1)
    conv_dim: tuple[Small, ...] = Field((512,) * 7, min_length=1, max_length=32)
    conv_kernel: tuple[Small, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[Small, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Literal["gelu"] = "gelu"
    hidden_act: Literal["gelu"] = "gelu"
    num_conv_pos_embeddings: Small = 128
    num_conv_pos_embedding_groups: Small = 16
    do_stable_layer_norm: bool = False
    add_adapter: Literal[False] | None = False
    adapter_attn_dim: None = None

    @model_validator(mode="after")
    def _even(self) -> WaveForm:
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError("conv_dim, conv_kernel and conv_stride are of different lengths")
        for shares in (self.num_attention_heads, self.num_conv_pos_embedding_groups):
            if self.hidden_size % shares:
                raise ValueError(f"{self.hidden_size} channels are not shared evenly by {shares}")
        return self

    @property
    def least(self) -> int:
        """Samples that one frame is made of."""
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    @property
    def shortest(self) -> int:
        """The same in whole milliseconds."""
        return -(-self.least // PER_MILLISECOND)

    def frames(self, samples: Tensor) -> Tensor:
        """Number of frames of so many samples."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples


def is_normalised(name: str) -> bool:
    """True if a network takes waveforms of mean 0 and variance 1; so unless its repository says otherwise.

    Raises:
        UserError: it takes another sampling rate.
    """
    try:
        found = json_of(name, PREPARATION)
    except OutOfReach:
        return True
    if found.get("sampling_rate", AUDIO_RATE) != AUDIO_RATE:
        raise UserError(
            f"'{name}' takes {found['sampling_rate']} samples a second, and recordings have "
            f"{AUDIO_RATE}: use another network"
        )
    return bool(found.get("do_normalize", True))


class Convolution(nn.Module):
    """Convolution of the front end, its norm and GELU: (B, C, T), and the length of each -> (B, C', T')."""

    def __init__(self, form: WaveForm, place: int) -> None:
        super().__init__()
        width = form.conv_dim[place]
        self.conv = nn.Conv1d(
            *(form.conv_dim[place - 1] if place else 1, width, form.conv_kernel[place]),
            stride=form.conv_stride[place],
            bias=form.conv_bias,
        )
        self.over_channels = form.feat_extract_norm == "layer"
        # The other kind has one norm, over time.
        self.norm = (
            nn.LayerNorm(width) if self.over_channels else None if place else nn.GroupNorm(width, width)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What each place is made into, and how many places are no padding."""
        x = self.conv(x)
        lengths = (lengths - self.conv.kernel_size[0]) // self.conv.stride[0] + 1
        if isinstance(self.norm, nn.LayerNorm):
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.norm is not None:
            x = scaled(x, lengths, self.norm.eps) * self.norm.weight[:, None] + self.norm.bias[:, None]
        return functional.gelu(x), lengths


class Front(nn.Module):
    """Vectors of frames, of about 25 ms every 20 ms: waveforms (B, T) -> (B, F, D), padding at zero."""

    def __init__(self, form: WaveForm, normalised: bool) -> None:
        super().__init__()
        self.form, self.normalised = form, normalised
        self.convolutions = nn.ModuleList(Convolution(form, place) for place in range(len(form.conv_dim)))
        self.norm = nn.LayerNorm(form.conv_dim[-1], form.layer_norm_eps)
        self.project = nn.Linear(form.conv_dim[-1], form.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors of frames."""
        if torch.is_grad_enabled():
            return self._vectors(x)
        # Several hundred times the samples: a recording is computed alone, so batches can be cut.
        numbers = x.shape[1] // self.form.conv_stride[0] * self.form.conv_dim[0]
        return torch.cat([self._vectors(part) for part in x.split(max(1, AT_ONCE // max(1, numbers)))])

    def _vectors(self, x: Tensor) -> Tensor:
        x, lengths = moved(x, self.form.least)
        if self.normalised:
            x = scaled(x, lengths, 1e-7)
        x = x.unsqueeze(1)
        for convolution in self.convolutions:
            x, lengths = convolution(x, lengths)
        out: Tensor = self.project(self.norm(x.transpose(1, 2)))
        return out * (torch.arange(out.shape[1], device=x.device) < lengths[:, None]).unsqueeze(-1)


class Positions(nn.Module):
    """Frames with what a wide convolution over them says of their places: (B, F, D) -> (B, F, D).

    The library keeps its weights as directions and lengths; here they are multiplied.
    """

    def __init__(self, form: WaveForm) -> None:
        super().__init__()
        width, kernel = form.hidden_size, form.num_conv_pos_embeddings
        groups = form.num_conv_pos_embedding_groups
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        self.norm = None if form.do_stable_layer_norm else nn.LayerNorm(width, form.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors, padding at zero."""
        found = self.conv(x.transpose(1, 2))[..., : x.shape[1]]
        out = x + functional.gelu(found).transpose(1, 2)
        if self.norm is not None:
            out = self.norm(out)
        return out * there(x)


def wav2vec2(form: WaveForm, normalised: bool) -> nn.Sequential:
    """Network at random initialisation."""
    width, eps = form.hidden_size, form.layer_norm_eps
    layers: list[tuple[str, nn.Module]] = [("front", Front(form, normalised)), ("positions", Positions(form))]
    for name in stage_names(form.num_hidden_layers):
        attention = Attention(width, form.num_attention_heads)
        layers.append((name, Block(attention, form.intermediate_size, eps, before=form.do_stable_layer_norm)))
    if form.do_stable_layer_norm:
        layers.append(("norm", Norm(width, eps)))
    return network([*layers, ("pool", MeanPool())])


THEIRS = {
    "front.norm": "feature_projection.layer_norm",
    "front.project": "feature_projection.projection",
    "positions.conv": "encoder.pos_conv_embed.conv",
    "positions.norm": "encoder.layer_norm",
    "norm": "encoder.layer_norm",
}
LAYER = {
    "attention.query": "attention.q_proj",
    "attention.key": "attention.k_proj",
    "attention.value": "attention.v_proj",
    "attention.out": "attention.out_proj",
    "norm1": "layer_norm",
    "norm2": "final_layer_norm",
    "up": "feed_forward.intermediate_dense",
    "down": "feed_forward.output_dense",
}
"""Names of the parts in the files of the library transformers, by ours."""


def their_name(own: str) -> str:
    """Name in the files of the library transformers of a parameter, as `layer0.up.bias`."""
    stage, _, rest = own.partition(".")
    part, _, kind = own.rpartition(".")
    if part in THEIRS:
        return f"{THEIRS[part]}.{kind}"
    if stage == "front":
        _, place, what = part.removeprefix("front.").split(".")
        return f"feature_extractor.conv_layers.{place}.{'conv' if what == 'conv' else 'layer_norm'}.{kind}"
    number = stage.removeprefix("layer")
    return f"encoder.layers.{number}.{LAYER[rest.rpartition('.')[0]]}.{kind}"


def multiplied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with the weights of the convolution over frames, of its lengths (1, 1, K) and directions."""
    conv = "encoder.pos_conv_embed.conv"
    whole = dict(state)
    for length, direction in (
        (f"{conv}.parametrizations.weight.original0", f"{conv}.parametrizations.weight.original1"),
        (f"{conv}.weight_g", f"{conv}.weight_v"),
    ):
        if length in state and direction in state:
            v = state[direction].float()
            whole[f"{conv}.weight"] = state[length].float() * v / v.norm(dim=(0, 1), keepdim=True)
    return whole


def moved(x: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Recordings (B, T) moved to their beginning, without silence before, and their lengths (B,).

    Those of fewer than `least` samples have silence behind, and those of silence alone are kept whole.
    """
    heard, places = x != 0, torch.arange(x.shape[1], device=x.device)
    heard = heard | ~heard.any(1, keepdim=True)
    first = heard.int().argmax(1)
    last = x.shape[1] - 1 - heard.int().flip(1).argmax(1)
    at = places + first[:, None]
    x = x.gather(1, at.clamp_max(x.shape[1] - 1)) * (at <= last[:, None])
    return x, (last - first + 1).clamp_min(least)


def scaled(x: Tensor, lengths: Tensor, eps: float) -> Tensor:
    """Values (B, ..., T) less their mean, by their standard deviation, both of what is no padding."""
    kept = torch.arange(x.shape[-1], device=x.device) < lengths[:, None]
    kept, count = (kept.unsqueeze(1), lengths[:, None, None]) if x.ndim == 3 else (kept, lengths[:, None])
    x = x.float()
    centred = (x - (x * kept).sum(-1, keepdim=True) / count) * kept
    return centred * (centred.square().sum(-1, keepdim=True) / count + eps).rsqrt()
