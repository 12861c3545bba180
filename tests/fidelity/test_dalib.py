"""Adversaries and discrepancies against dalib 0.2, the release of TLlib."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch
from bench.methods.alignment.cdan_e import CdanE
from bench.methods.alignment.dan import Dan
from bench.methods.alignment.dann import Dann
from bench.methods.alignment.jan import Jan
from bench.methods.alignment.mcd import Mcd, TwoHeads
from bench.methods.alignment.mdd import Mdd
from tests.fidelity.compare import FEATURES, TASK, Example, assert_alike, example

Peer = Callable[[str], ModuleType]

PROGRESS = [0.0, 0.3, 0.95]


def judge(case: Example) -> nn.Module:
    """Our discriminator, which ends in a logit where theirs ends in a probability."""
    return nn.Sequential(cast(nn.Module, case.model.discriminator), nn.Sigmoid())


def reversal(peer: Peer, progress: float, highest: float = 1.0) -> nn.Module:
    """Their reversed gradient. Its steepness is 1 by default; it is 10 in the papers of DANN and CDAN."""
    layer = peer("dalib.modules.grl").WarmStartGradientReverseLayer
    out = layer(alpha=10.0, lo=0.0, hi=highest, max_iters=1000, auto_step=False)
    out.iter_num = 1000 * progress
    return cast(nn.Module, out)


@pytest.mark.parametrize("progress", PROGRESS)
def test_dann(peer: Peer, progress: float) -> None:
    case = example(Dann(hidden=5))
    theirs = peer("dalib.adaptation.dann").DomainAdversarialLoss(judge(case))
    theirs.grl = reversal(peer, progress)
    # Theirs is half the sum of the domains' means, as is ours for as many items of each.
    loss = theirs(case.source.features, case.target.features)
    assert_alike(case.ours(progress), loss, case.leaves)


class Randomised(nn.Module):
    """Equation 7 of CDAN. Theirs multiplies by its random matrices from the wrong side, and fails."""

    def __init__(self, left: Tensor, right: Tensor) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, features: Tensor, predictions: Tensor) -> Tensor:
        products = torch.einsum("nf,fd,nc,cd->nd", features, self.left, predictions, self.right)
        return products / self.left.shape[1] ** 0.5


@pytest.mark.parametrize("progress", PROGRESS)
def test_cdan_e(peer: Peer, progress: float) -> None:
    case = example(CdanE(hidden=5, dimensions=7))
    module = peer("dalib.adaptation.cdan")
    theirs = module.ConditionalDomainAdversarialLoss(judge(case), entropy_conditioning=True)
    theirs.grl = reversal(peer, progress)

    theirs.map = Randomised(cast(Tensor, case.model.of_features), cast(Tensor, case.model.of_predictions))
    loss = theirs(case.source.logits, case.source.features, case.target.logits, case.target.features)
    assert_alike(case.ours(progress), loss, case.leaves)


def kernels(peer: Peer) -> list[nn.Module]:
    """The five kernels of TLlib's experiments."""
    kernel = peer("dalib.modules.kernels").GaussianKernel
    return [kernel(alpha=2.0**power) for power in range(-3, 2)]


def surplus(items: int) -> float:
    """What theirs adds to a discrepancy, to make it positive."""
    return 2 / (items - 1)


@pytest.mark.parametrize("items", [2, 8])
def test_dan(peer: Peer, items: int) -> None:
    case = example(Dan(), items)
    theirs = peer("dalib.adaptation.dan").MultipleKernelMaximumMeanDiscrepancy(kernels(peer), linear=False)
    loss = theirs(case.source.features, case.target.features) - surplus(items)
    assert_alike(case.ours(), loss, case.leaves)


@pytest.mark.parametrize("items", [2, 8])
def test_jan(peer: Peer, items: int) -> None:
    case = example(Jan(), items)
    of_probabilities = peer("dalib.modules.kernels").GaussianKernel(sigma=0.92, track_running_stats=False)
    theirs = peer("dalib.adaptation.jan").JointMultipleKernelMaximumMeanDiscrepancy(
        (kernels(peer), [of_probabilities]), linear=False
    )
    layers = ((side.features, side.probabilities) for side in (case.source, case.target))
    assert_alike(case.ours(), theirs(*layers) - surplus(items), case.leaves)


@pytest.mark.parametrize("progress", PROGRESS)
def test_mdd(peer: Peer, progress: float) -> None:
    case = example(Mdd(hidden=5))
    theirs = peer("dalib.adaptation.mdd").MarginDisparityDiscrepancy(margin=4.0)
    reverse, adversary = reversal(peer, progress, highest=0.1), cast(nn.Module, case.model.adversary)
    opinions = [
        part
        for side in (case.source, case.target)
        for part in (side.logits, adversary(reverse(side.features)))
    ]
    assert_alike(case.ours(progress), theirs(*opinions), case.leaves)


@pytest.mark.parametrize("replay", [False, True])
def test_mcd(peer: Peer, replay: bool) -> None:
    """The losses of steps A, B and C, each differentiated by what it moves."""
    method = Mcd(weight=0.7, repeats=2)
    model = method.build(Backbone(nn.Linear(5, FEATURES), FEATURES, []), TASK)
    first, second = cast(TwoHeads, model.head).both
    x, source, target = (torch.randn(8, 5) for _ in range(3))
    y = torch.arange(8) % 4
    batch = Batch(x, y, source, y.flip(0), target) if replay else Batch(x, y, target_x=target)
    if replay:
        x, y = torch.cat([x, source]), torch.cat([y, y.flip(0)])

    apart = peer("dalib.adaptation.mcd").classifier_discrepancy
    features, others = model.features(x), model.features(target)
    labels = sum(nn.functional.cross_entropy(head(features), y) for head in (first, second))
    discrepancy = 0.7 * apart(first(others).softmax(1), second(others).softmax(1))
    everything, heads, body = (
        dict(module.named_parameters()) for module in (model, model.head, model.backbone)
    )
    steps = [(labels, everything), (labels - discrepancy, heads), *[(discrepancy, body)] * 2]
    for (ours, moved), (theirs, leaves) in zip(method.updates(model, batch, 0.3), steps, strict=True):
        assert {id(p) for p in moved} == {id(p) for p in leaves.values()}
        assert_alike(ours, theirs, leaves)


def test_a_difference_is_noticed(peer: Peer) -> None:
    case = example(Dan())
    features = case.source.features, case.target.features
    theirs = peer("dalib.adaptation.dan").MultipleKernelMaximumMeanDiscrepancy(kernels(peer), linear=False)
    loss = theirs(*features) - surplus(8)
    with pytest.raises(AssertionError, match="value"):
        assert_alike(1.0001 * case.ours(), loss, case.leaves)
    half = loss.detach() + 0.5 * (loss - loss.detach())
    with pytest.raises(AssertionError, match="gradient of source"):
        assert_alike(half, loss, case.leaves)
    assert torch.isfinite(loss)
