"""Every method on networks of every shape, untrained: it answers, or is skipped with its reason in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.method.registry import method_modules
from bench.networks.backbones.create import check_image_size
from bench.networks.backbones.weights import untrained
from bench.records.record import Record
from bench.spec.cell import Budget, Cell
from tests.support.cells import CLASSES, answer, tiny_cell, usual_shots

METHODS = sorted(method_modules())
SIZE = 32
QUICK = {
    "test_vit": "class token, embeddings of positions for 160 px",
    "test_convnext": "depthwise 7 x 7, layer norm over channels",
    "test_byobnet": "blocks of several kinds, batch norm",
}
SLOW = {
    "test_resnet": "convolutions without groups",
    "test_coatnet": "convolutions, then attention with relative positions",
    "test_maxvit": "attention in windows",
    "test_mambaout": "channels last, gated",
    "test_nfnet": "standardised weights, no normalisation",
    "test_efficientnet_evos": "normalisation and activation in one",
    "test_efficientnet_gn": "group norm",
    "test_vit3": "pooled by attention",
    "test_vit_relpos": "relative positions, no class token",
    "resnet18": "without depthwise layers",
    "mobilenetv3_small_050": "with depthwise layers, widens behind its last stage",
    "regnetx_002": "grouped convolutions",
    "convnext_atto": "depthwise 7 x 7",
    "vit_tiny_patch16_224": "a grid of 14 x 14 at its own size",
    "swin_s3_tiny_224": "attention in shifted windows",
    "mixer_s32_224": "one token at this size",
    "resmlp_12_224": "affine layers in place of normalisation",
}


def question(method: str, network: str) -> Cell:
    """Two classes, two steps; of a method that adapts without labels, without them."""
    budget = Budget(steps=2, batch_size=8, evaluations=1)
    named = untrained(network)
    cell = tiny_cell(method, backbone=named, image_size=SIZE, shots=usual_shots(method), budget=budget)
    two = {"source_classes": CLASSES[:2], "target_classes": CLASSES[:2]}
    return cell.model_copy(update={"scenario": cell.scenario.model_copy(update=two)})


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_answers_or_says_why_not(artifacts: Path, network: str, method: str) -> None:
    record, predictions = answer(question(method, network), artifacts)
    assert_answered(record)
    assert bool(predictions) == (record.outcome.status == "done")


def assert_answered(record: Record) -> None:
    """Done, or skipped with a reason in one line that names the method or the network."""
    cell, outcome = record.request.cell, record.outcome
    assert outcome.status != "failed", f"{outcome.reason}\n{outcome.log}"
    if outcome.status == "skipped":
        assert outcome.reason.startswith((f"{cell.method} ", f"'{cell.backbone}' "))
        assert "\n" not in outcome.reason


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("test_vit", 40),
        ("test_convnext", 20),
        ("test_maxvit", 40),
        ("mixer_s32_224", 20),
        ("inception_v3", 64),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_a_line(network: str, size: int) -> None:
    with pytest.raises(
        UserError, match=rf"^backbone '{network}.untrained' cannot take images of {size} px .*"
    ):
        check_image_size(untrained(network), size)


@pytest.mark.parametrize("network", ["test_vit", "vit_tiny_patch16_224", "swin_s3_tiny_224", "mixer_s32_224"])
def test_networks_for_one_size_are_built_for_another(network: str) -> None:
    check_image_size(untrained(network), SIZE)
