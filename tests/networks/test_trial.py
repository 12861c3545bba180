"""Networks tried on images before cells run."""

from __future__ import annotations

import pytest

from bench.core.errors import UserError
from bench.networks.backbones import create_backbone
from bench.networks.trial import check_images, normalises_single_values


def test_a_size_that_a_network_cannot_take() -> None:
    network = create_backbone("levit_128s.untrained")
    check_images("levit_128s.untrained", network, 224)
    with pytest.raises(UserError, match=r"'levit_128s.untrained' cannot take images of 33 px \("):
        check_images("levit_128s.untrained", network, 33)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("test_efficientnet.untrained", 32, True),
        ("test_efficientnet.untrained", 96, False),
        ("test_efficientnet_ln.untrained", 32, False),
    ],
)
def test_batch_norm_of_one_image(name: str, size: int, expected: bool) -> None:
    assert normalises_single_values(create_backbone(name), size) == expected
