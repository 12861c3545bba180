from __future__ import annotations

import copy

import pytest
import torch

from bench.core.errors import UserError
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.create import create_backbone
from bench.networks.split import POOLED, Prefix, module_at, suffix

NAMES = ("test_efficientnet.untrained", "test_resnet.untrained", "resnet18.untrained")


def network(name: str) -> Backbone:
    torch.manual_seed(0)
    backbone = create_backbone(name).eval()
    with torch.no_grad():  # Batch norm with statistics that are not 0 and 1.
        backbone.train()(torch.randn(8, 3, 32, 32))
    return backbone.eval()


@pytest.mark.parametrize("name", NAMES)
def test_parts_in_a_row_are_the_whole(name: str) -> None:
    backbone = network(name)
    x = torch.randn(4, 3, 32, 32)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        whole = backbone(x)
        for split_point in [*backbone.stages[:-1], POOLED]:
            upper = suffix(backbone, split_point, torch.zeros(1, 3, 32, 32)).eval()
            kept = Prefix(network(name), split_point)(x)
            torch.testing.assert_close(upper(kept), whole, rtol=1e-4, atol=1e-5, msg=split_point)
            assert upper.num_features == backbone.num_features == whole.shape[1]
    after = backbone.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


def test_gradients_of_the_upper_part_are_the_wholes() -> None:
    backbone, x = network(NAMES[0]), torch.randn(4, 3, 32, 32)
    split_point = backbone.stages[-2]
    upper = suffix(backbone, split_point, x[:1]).eval()
    with torch.no_grad():
        kept = Prefix(network(NAMES[0]), split_point)(x)
    upper(kept).square().sum().backward()
    backbone(x).square().sum().backward()
    expected = {name: p.grad for name, p in backbone.net.named_parameters()}
    compared = 0
    for name, parameter in upper.named_parameters():
        reference = expected[name.removeprefix("net.net.")]
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, reference, rtol=1e-3, atol=1e-4, msg=name)
            compared += 1
    assert compared > 3


@pytest.mark.parametrize("name", [*NAMES, "vgg11.untrained", "test_vit.untrained"])
def test_stage_parameters_are_all_of_them_once(name: str) -> None:
    """A stage may end in an activation, which has none: those before it are its own."""
    backbone = create_backbone(name)
    parts = backbone.stage_parameters()
    assert len(parts) == len(backbone.stages)
    assert all(parts)
    ids = [id(p) for part in parts for p in part]
    assert ids == [id(p) for p in backbone.parameters()], "each once, from input to output"


def test_frozen_part_stays_in_evaluation_mode() -> None:
    prefix = Prefix(network(NAMES[0]), POOLED)
    assert not any(p.requires_grad for p in prefix.parameters())
    before = {key: tensor.clone() for key, tensor in prefix.state_dict().items()}
    prefix(torch.randn(4, 3, 32, 32))
    assert all(torch.equal(prefix.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_nfnet", "densenet121", "test_mambaout"])
def test_every_network_is_split_right_or_refused(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(f"{name}.untrained").eval()
    x = torch.randn(2, 3, 160, 160)
    for split_point in backbone.stages[:-1:2]:
        try:
            upper = suffix(backbone, split_point, x[:1]).eval()
        except UserError:
            continue
        with torch.no_grad():
            kept = Prefix(copy.deepcopy(backbone), split_point)(x)
            torch.testing.assert_close(upper(kept), backbone(x), rtol=1e-3, atol=1e-4, msg=split_point)


def test_unknown_layer() -> None:
    with pytest.raises(UserError, match=r"no layer 'blocks\.99' in this network"):
        module_at(network(NAMES[0]), "blocks.99")


def test_a_layer_that_is_not_reached_is_named() -> None:
    backbone = network(NAMES[0])
    backbone.net.spare = torch.nn.Identity()
    with pytest.raises(UserError, match="forward pass does not reach 'spare'"):
        Prefix(backbone, "spare")(torch.zeros(1, 3, 32, 32))
