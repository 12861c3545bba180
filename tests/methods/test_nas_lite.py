"""The search of NAS-lite, in its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from bench.api import Backbone, Batch, Labelled, Task
from bench.core.errors import CellSkipped, UserError
from bench.methods.search.nas_lite import SPACE, Adapter, Cosine, NasLite, Supernet
from bench.networks.backbones.create import create_backbone
from bench.networks.split import Prefix, suffix
from tests.support.cells import answer, tiny_cell

TASK = Task("source", ("a", "b", "c"), batch_size=8, seed=5)


def backbone() -> Backbone:
    torch.manual_seed(0)
    upper = Backbone(nn.Sequential(nn.Conv2d(4, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 6, [])
    upper.input_shape, upper.channel_axis = (4, 3, 3), 1
    return upper


def net(candidates: int = 16) -> Supernet:
    model = NasLite(candidates=candidates).build(backbone(), TASK)
    assert isinstance(model, Supernet)
    return model


def test_the_space_by_hand() -> None:
    # Three taps, three adapters, three heads, frozen or not; nothing is above a tap at the split point.
    assert len(SPACE) == len(set(SPACE)) == 2 * 27 - 9


def test_every_member_maps_activations_to_logits() -> None:
    x = torch.randn(5, 4, 3, 3)
    supernet = net()
    for place, member in enumerate(SPACE):
        supernet.keep([place])
        features = supernet.features_of(member.trunk, x)
        assert features[member.tap].shape == (5, {"top": 6, "cut": 4, "both": 10}[member.tap])
        assert supernet.logits(features, member).shape == (5, 3)


def test_adapters_begin_as_the_identity() -> None:
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(Adapter(4, 16, axis=1)(x), x)
    tokens = torch.randn(2, 7, 4)
    assert torch.equal(Adapter(4, 16, axis=2)(tokens), tokens)


def test_cosine_head_by_hand() -> None:
    head = Cosine(2, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 5.0]]))
        head.scale.fill_(10.0)
    torch.testing.assert_close(head(torch.tensor([[3.0, 4.0]])), torch.tensor([[6.0, 8.0]]))


@pytest.mark.parametrize(("candidates", "moments"), [(1, 0), (2, 1), (5, 3), (16, 4)])
def test_each_judgement_halves_until_one_is_left(candidates: int, moments: int) -> None:
    method, supernet = NasLite(candidates=candidates), net(candidates)
    times = method.validate_at(supernet)
    assert len(times) == moments
    held_out = Labelled(torch.randn(12, 4, 3, 3), torch.arange(12) % 3, torch.arange(12))
    for moment in times:
        method.on_validation(supernet, held_out, moment)
    assert len(supernet.candidates()) == 1
    assert method.validate_at(supernet) == ()
    if times:
        assert times[-1] == pytest.approx(method.search)


def test_judging_keeps_the_candidate_that_is_right() -> None:
    """One candidate answers 2 always, which is right; the other 0."""
    method, supernet = NasLite(candidates=2), net(2)
    good, _ = supernet.candidates()
    supernet.logits = lambda features, member: (  # type: ignore[method-assign]
        torch.eye(3)[2 if member == SPACE[good] else 0].expand(len(features["cut"]), 3)
    )
    method.on_validation(
        supernet, Labelled(torch.randn(6, 4, 3, 3), torch.full((6,), 2), torch.arange(6)), 0.5
    )
    assert supernet.candidates() == [good]


def test_a_step_teaches_all_candidates_of_one_trunk_at_once() -> None:
    """The first trunk's heads move, and no adapter but its own."""
    method, supernet = NasLite(), net(45)
    batch = Batch(torch.randn(8, 4, 3, 3), torch.arange(8) % 3)
    trunk, places = supernet.next()
    supernet._turn -= 1
    method.loss(supernet, batch, 0.0).backward()
    moved = {name.split(".")[1] for name, p in supernet.head.named_parameters() if p.grad is not None}
    assert moved == {f"{SPACE[p].tap} {SPACE[p].head}" for p in places}
    assert all(SPACE[p].trunk == trunk for p in places)
    adapted = {int(n.split(".")[0]) for n, p in supernet.adapters.named_parameters() if p.grad is not None}
    assert adapted == {trunk[1]} - {0}


def test_the_frozen_stages_stay_as_they_are() -> None:
    supernet = net()
    before = [p.clone() for p in supernet.frozen.parameters()]
    supernet.train()
    assert not supernet.frozen.training
    trained = {id(p) for group in NasLite().trainable(supernet) for p in group["params"]}
    assert not trained & {id(p) for p in supernet.frozen.parameters()}
    assert all(torch.equal(a, b) for a, b in zip(before, supernet.frozen.parameters(), strict=True))


def test_the_architecture_is_in_the_record_and_kept_in_the_target_stage(tmp_path: Path) -> None:
    record, _ = answer(tiny_cell("nas-lite", shots=2), tmp_path)
    source, target = (record.details[stage] for stage in ("source", "target"))
    assert source["candidates left"] == 1
    assert source["architecture"] == target["architecture"]
    assert set(source["architecture"]) == {"tap", "unfreeze", "adapter", "head"}


@pytest.mark.parametrize("candidates", [0, 46])
def test_a_search_needs_members_of_the_space(candidates: int) -> None:
    with pytest.raises(UserError, match="1 to 45"):
        NasLite(candidates=candidates).build(backbone(), TASK)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mambaout_femto", 64),
        ("swin_tiny_patch4_window7_224", 64),
        ("sequencer2d_s", 64),
        ("hiera_tiny_224", 64),
        ("test_vit", 32),
        ("resnet18", 64),
    ],
)
def test_channels_at_the_cut_are_those_that_timm_names(name: str, size: int) -> None:
    """Channels first, last, and of tokens."""
    whole = create_backbone(f"{name}.untrained", size)
    method = NasLite(candidates=2)
    cut = method.split_point(whole)
    upper = suffix(whole, cut, torch.zeros(1, 3, size, size))
    supernet = method.build(upper, TASK)
    assert isinstance(supernet, Supernet)
    channels = {info["module"]: info["num_chs"] for info in cast(Any, whole.net).feature_info}[cut]
    assert supernet.sizes["cut"] == channels
    with torch.no_grad():
        x = Prefix(whole.eval(), cut)(torch.randn(2, 3, size, size))
        low = supernet.features_of((False, 16), x)["cut"]
    assert low.shape == (2, channels)
    others = [axis for axis in range(1, x.ndim) if x.shape[axis] != channels]
    torch.testing.assert_close(low, x.mean(others))


def test_a_network_that_does_not_say_where_its_channels_are_is_refused() -> None:
    upper = backbone()
    upper.channel_axis = None
    with pytest.raises(CellSkipped, match="which axis they are"):
        NasLite().build(upper, TASK)
