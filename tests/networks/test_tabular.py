"""Networks for rows and sequences."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from bench.core.errors import UserError
from bench.networks.backbones.create import check_backbone, check_batch_size, create_backbone, example
from bench.networks.split import POOLED, Prefix, suffix

NAMES = ("mlp.untrained", "ft_transformer.untrained", "peptide_cnn.untrained", "unirep_64.untrained")


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_a_network_in_a_row_are_the_network(name: str) -> None:
    torch.manual_seed(0)
    network = create_backbone(name, 9).eval()
    x = example(name, 9)
    assert network(x).shape == (1, network.num_features)
    assert create_backbone(name).stages == network.stages, "its form without a size"
    for stage in (*network.stages, POOLED):
        upper = suffix(network, stage, x)
        lower = Prefix(network, stage)
        torch.testing.assert_close(upper.eval()(lower(x)), network(x))
        assert upper.channel_axis in (1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_know_each_other(name: str) -> None:
    torch.manual_seed(0)
    network = create_backbone(name, 9).eval()
    x = example(name, 9) * torch.arange(1, 4)[:, None]
    torch.testing.assert_close(torch.cat([network(row[None]) for row in x]), network(x))


def test_padding_does_not_matter() -> None:
    """A sequence has the same features whatever the length that it is padded to."""
    torch.manual_seed(0)
    long = create_backbone("peptide_cnn.untrained", 20).eval()
    short = create_backbone("peptide_cnn.untrained", 6).eval()
    state = long.state_dict()
    short.load_state_dict({**state, "net.embed.places": state["net.embed.places"][:6]})
    sequence = torch.tensor([[3, 1, 20, 9]])
    features = [net(pad(sequence, (0, size - 4))) for net, size in ((long, 20), (short, 6))]
    torch.testing.assert_close(*features)
    assert not torch.allclose(features[0], long(pad(sequence[:, :3], (0, 17))))


def test_names_and_sizes_in_a_line() -> None:
    for name, message in (
        ("mlp", "'mlp' has no pretrained weights: use 'mlp.untrained'"),
        ("mlp.best", "'mlp' has no pretrained weights"),
        ("ft_transformer", "use 'ft_transformer.untrained'"),
    ):
        with pytest.raises(UserError, match=message):
            check_backbone(name)
    with pytest.raises(UserError, match="cannot be trained on batches of one row of 9 columns"):
        check_batch_size("mlp.untrained", 9, 1)
    check_batch_size("ft_transformer.untrained", 9, 1)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives(name: str) -> None:
    torch.manual_seed(0)
    network = create_backbone(name, 6)
    parameters = [p for p in network.parameters() if p.requires_grad]
    out = network(example(name, 6) * torch.arange(1, 5)[:, None]).square().sum()
    first = torch.autograd.grad(out, parameters, create_graph=True, allow_unused=True)
    total = sum(g.square().sum() for g in first if g is not None)
    second = torch.autograd.grad(total, parameters, allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in second)
