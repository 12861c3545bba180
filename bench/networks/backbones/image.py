"""Networks for images by their timm names, small ones of papers beside them. No other file imports timm."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from bench.core.errors import CellSkipped, UserError, did_you_mean
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.own_weights import CONFIG, HUB, is_own, kept_weights
from bench.networks.backbones.weights import PACKAGED, available_offline, remember_source
from bench.networks.hub.files import UNTRAINED
from bench.networks.modules import small

Switches = dict[str, bool | int | None]

for _network in small.NETWORKS:
    timm.models.register_model(_network)


def synchronised(model: nn.Module) -> nn.Module:
    """Synchronise batch norm of a network over the whole batch that several devices share.

    On one device it is as before; the names of parameters and buffers stay.
    """
    # torch's own conversion would lose the activations that timm's batch norm has inside.
    out: nn.Module = timm.layers.convert_sync_batchnorm(model)
    return out


def check(name: str) -> None:
    """Check that timm knows the name (its tag may be `untrained`); a `UserError` with a suggestion if not.

    One's own weights have to be in the cache; what is on the hub is not asked for.
    """
    if name.startswith(HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name.removeprefix(HUB)):
            raise UserError(
                f"'{name}' names no repository of the hub: {HUB}OWNER/NAME or {HUB}OWNER/NAME@REVISION"
            )
        return
    if is_own(name):
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


def create(name: str, image_size: int | None = None) -> Backbone:
    """Create a network with its weights; random ones are drawn from torch's global generator.

    A network that is built for one size of images, such as a vision transformer, is built for `image_size`
    where it can be; timm then interpolates the pretrained embeddings of positions.

    Raises:
        UserError: unknown name, or weights that are out of reach.
    """
    if name.endswith(f".{UNTRAINED}"):
        arch = name.removesuffix(f".{UNTRAINED}")
        backbone = _backbone(_random(arch, _own_size(arch, image_size)))
    else:
        backbone = copy.deepcopy(_pretrained(name, _own_size(name, image_size)))
    backbone.name = name
    return backbone


def head(name: str) -> nn.Module:
    """Classifier that a network was pretrained with: pooled features (B, D) -> logits of those classes.

    Raises:
        CellSkipped: its weights come without one.
    """
    found: nn.Module = nn.Identity()
    if name in PACKAGED:
        found = imagenet_head(name)
    elif name and not name.endswith(f".{UNTRAINED}") and not is_own(name):
        with torch.random.fork_rng(devices=[]):
            found = cast(Any, timm.create_model(name, pretrained=True)).get_classifier()
    if isinstance(found, nn.Identity):
        raise CellSkipped(f"'{name}' comes without the classifier that it was pretrained with")
    return found.eval()


def example(name: str, size: int, count: int = 1) -> Tensor:
    """Black images (count, 3, size, size)."""
    return torch.zeros(count, 3, size, size)


def made_for(name: str) -> int | None:
    """Size of the images that a network was made for; None where it is not known."""
    config = timm.get_pretrained_cfg(_architecture(name))
    return int(config.input_size[-1]) if config else None


def fault(name: str, size: int, count: int, training: bool) -> str:
    """Reason why a network does not take a batch of images; empty where it does, or is not here yet.

    Found by building it without weights and running it once.
    """
    arch, reason = _architecture(name), ""
    if arch.startswith(HUB):
        return reason
    # Without memory and arithmetic, which takes a tenth of a second; or in earnest, where that cannot be.
    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device(device):
                net = _created(arch, _own_size(arch, size), pretrained=False).train(training)
                net(example(name, size, count))
            return ""
        except Exception as error:
            # Networks check this in their own ways: asserts, errors of shapes, of windows and of strides.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return reason


def _architecture(name: str) -> str:
    """Name of a network in timm, without its weights; as it is for a repository of the hub."""
    return name if name.startswith(HUB) else name.partition("@")[0].partition(".")[0]


def _own_size(name: str, image_size: int | None) -> int | None:
    """Size of images that a network has to be built for; None: any, or that which it is built for anyway."""
    # What a repository of the hub holds is known when it is fetched.
    config = None if name.startswith(HUB) else timm.get_pretrained_cfg(_architecture(name))
    fixed = config is not None and config.fixed_input_size and image_size != config.input_size[-1]
    return image_size if fixed else None


def _created(name: str, own_size: int | None, pretrained: bool) -> nn.Module:
    """Network of timm without its classifier, built for images of a size where its constructor takes one."""
    if own_size is not None:
        # Which constructors do, only trying tells.
        with contextlib.suppress(TypeError):
            return timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=own_size)
    return timm.create_model(name, pretrained=pretrained, num_classes=0)


def _random(name: str, own_size: int | None) -> nn.Module:
    """Network without classifier at random initialisation, in the form that its weights come with, if any."""
    if is_own(name):
        folder = kept_weights(name).parent
        name = f"local-dir:{folder}" if (folder / CONFIG).is_file() else name.partition("@")[0]
    try:
        return _created(name, own_size, pretrained=False)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        # What a configuration says is handed to the network, which may know no such thing.
        raise UserError(f"cannot make the network of '{name}': {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _backbone(net: nn.Module) -> Backbone:
    _keep_inputs(net)
    # The head's width, not the last stage's: some networks widen (MobileNetV3) before they classify.
    width = getattr(net, "head_hidden_size", None) or net.num_features
    widths = {str(info["module"]): int(info["num_chs"]) for info in cast(Any, net).feature_info}
    return Backbone(net, cast(int, width), [*widths], widths)


def _keep_inputs(net: nn.Module) -> None:
    """Let activations leave their inputs alone.

    The gradients of ReLU6, SiLU and their kin need the input: done in place, each step copies it first. That
    of ReLU needs the output alone, which in place saves memory.
    """
    for module in net.modules():
        if getattr(module, "inplace", False) and not isinstance(module, nn.ReLU):
            cast(Any, module).inplace = False


def switches() -> Switches:
    """Switches of timm that change how any network is built or computed."""
    found = vars(timm.layers.config)
    return {
        name: value
        for name, value in found.items()
        if name.isupper() and isinstance(value, bool | int | None)
    }


def set_switches(values: Switches) -> None:
    """Set timm's switches, as `switches` returned them."""
    vars(timm.layers.config).update(values)


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, for pixels in [0, 1], that the network was trained with."""
    arch = name.removesuffix(f".{UNTRAINED}")
    if is_own(arch) or arch.startswith(HUB):
        own = cast(Any, _pretrained(arch, None).net).pretrained_cfg
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
def _pretrained(name: str, own_size: int | None) -> Backbone:
    """Pretrained network without classifier, made once for many cells; a copy takes a quarter of the time."""
    # Whether it is made now or was made before, as many random numbers are drawn of the caller's: none.
    with torch.random.fork_rng(devices=[]):
        return _backbone(_fetched(name, own_size))


def _fetched(name: str, own_size: int | None) -> nn.Module:
    if name in PACKAGED:
        net = _created(name, own_size, pretrained=False)
        state = _packaged_weights(name)
        net.load_state_dict({key: state[key] for key in net.state_dict()})
        return net
    if is_own(name):
        return _own(name, own_size)
    # The client tells of each of its retries; one line at the end says as much.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        net = _created(name, own_size, pretrained=True)
    except Exception as error:
        # Hub clients fail in many ways (no network, no such revision, a proxy's refusal): one line for all.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise UserError(
            f"cannot fetch the weights of '{name}' from the hub ({reason.rstrip('.')}); "
            f"available offline: {', '.join(available_offline()) or 'none'}"
        ) from None
    remember_source(name, _source(name))
    return net


def _source(name: str) -> str:
    """Repository of the hub, or file in torch's own cache, that timm takes weights from."""
    config = timm.get_pretrained_cfg(name)
    if config is not None and not config.hf_hub_id and config.url:
        return str(Path(torch.hub.get_dir()).absolute() / "checkpoints" / Path(str(config.url)).name)
    return str(config.hf_hub_id) if config is not None else name


def _own(name: str, own_size: int | None) -> nn.Module:
    """Network with one's own weights: all have to be there, those of a classifier may be beside them.

    Raises:
        UserError: they cannot be read without running code, or are another network's.
    """
    net = _random(name, own_size)
    try:
        state = timm.models.load_state_dict(str(kept_weights(name)), weights_only=True)
        if own_size is not None:
            state = _fitted(state, net)
    except UserError:
        raise
    except Exception as error:
        # Readers of two formats raise many errors for damaged files.
        raise UserError(f"cannot read the weights of '{name}': {_reason(error)}") from None
    expected = net.state_dict()
    wrong = [
        key
        for key, value in expected.items()
        if not isinstance(found := state.get(key), Tensor)
        or (found.shape, found.is_floating_point()) != (value.shape, value.is_floating_point())
    ]
    classifier = cast(Any, net).pretrained_cfg.get("classifier") or "head"
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    more = [key for key in state if key not in expected and not key.startswith(tuple(f"{h}." for h in heads))]
    if wrong or more:
        what = (
            f"'{wrong[0]}' is missing, or of another shape or type"
            if wrong
            else f"there is no '{more[0]}' in it"
        )
        raise UserError(
            f"the weights of '{name}' are not this network's: {what}, of {len(wrong) + len(more)}"
        )
    if odd := [key for key in expected if not state[key].isfinite().all()]:
        raise UserError(
            f"the weights of '{name}' are not all numbers: '{odd[0]}' has some that are not finite"
        )
    net.load_state_dict({key: state[key] for key in expected})
    return net


def _fitted(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Weights as timm fits them to a network for other images, with embeddings of positions interpolated."""
    # By this name the file of each architecture has it, where it has one.
    fit = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    return cast(dict[str, Tensor], fit(state, net)) if fit else state


def _packaged_weights(name: str) -> dict[str, Tensor]:
    path = PACKAGED[name].file()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    expected = timm.create_model(name, pretrained=False).state_dict()
    if [v.shape for v in stored.values()] != [v.shape for v in expected.values()]:
        raise UserError(f"{path} does not hold the weights of '{name}': reinstall {PACKAGED[name].package}")
    return dict(zip(expected, stored.values(), strict=True))
