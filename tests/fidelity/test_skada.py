"""Optimal transport against skada 0.6.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from bench.methods.alignment.deep_jdot import DeepJdot
from tests.fidelity.compare import assert_alike, example

Peer = Callable[[str], ModuleType]


@pytest.mark.parametrize(("alpha", "labels"), [(0.001, 1.0), (1.0, 1.0), (0.1, 0.01)])
def test_deep_jdot(peer: Peer, alpha: float, labels: float) -> None:
    case = example(DeepJdot(alpha=alpha, labels=labels))
    theirs = peer("skada.deep.losses").deepjdot_loss(
        case.source.y, case.target.logits, case.source.features, case.target.features, alpha, labels
    )
    assert_alike(case.ours(), theirs, case.leaves)
